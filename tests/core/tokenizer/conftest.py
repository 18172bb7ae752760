"""A small trained tokenizer, shared by the tests of this folder."""

import pytest

from core.config import TokenizerConfig
from core.manifest import Stage
from core.tokenizer import STAGE, SentencePieceTokenizer, train
from tests.core.tokenizer.samples import texts


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("tokenizer"))
    train(texts(), TokenizerConfig(vocabulary_size=900), Stage(STAGE, path))
    return path


@pytest.fixture(scope="session")
def tokenizer(folder: str) -> SentencePieceTokenizer:
    return SentencePieceTokenizer.load(folder)
