"""One small tokenizer for all tests of this room."""

import pytest

from core.config import TokenizerConfig
from core.tokenizer import SentencePieceTokenizer, train
from tests.core.tokenizer.samples import texts


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("tokenizer"))
    train(texts(), TokenizerConfig(vocabulary_size=900), path)
    return path


@pytest.fixture(scope="session")
def tokenizer(folder: str) -> SentencePieceTokenizer:
    return SentencePieceTokenizer.load(folder)
