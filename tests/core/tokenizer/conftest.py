"""A small trained tokenizer, shared by the tests of this folder."""

import pytest

from core.config import TokenizerConfig
from core.stage import Stage
from core.tokenizer import STAGE, SentencePieceTokenizer, load_published, publish, train
from tests.core.tokenizer.samples import texts


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("tokenizer"))
    publish(train(texts(), TokenizerConfig(vocabulary_size=900)), Stage(STAGE, path), {})
    return path


@pytest.fixture(scope="session")
def tokenizer(folder: str) -> SentencePieceTokenizer:
    found = load_published(folder)
    assert isinstance(found, SentencePieceTokenizer)
    return found
