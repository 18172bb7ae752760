import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given

from core import storage
from core.config import TokenizerConfig
from core.errors import InputError, ManifestError
from core.tokenizer import SentencePieceTokenizer, load_published, train
from core.tokenizer.sentencepiece_model import MODEL, WORD
from tests.core.tokenizer.samples import any_text, texts


@pytest.fixture(scope="module")
def reference(folder: str) -> sentencepiece.SentencePieceProcessor:
    """The same model in SentencePiece itself, which encodes whole texts."""
    return sentencepiece.SentencePieceProcessor(model_proto=storage.read_bytes(f"{folder}/{MODEL}"))


@given(any_text)
@example("▁ a▁b ▁")
@example("  two  spaces  ")
def test_decode_inverts_encode(tokenizer: SentencePieceTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.byte_lengths()[ids].sum() == len(text.encode())
    assert not set(ids) & set(tokenizer.special.values())


@given(any_text.filter(lambda text: "▁" not in text))
def test_word_by_word_encoding_equals_whole_text_encoding(
    tokenizer: SentencePieceTokenizer, reference: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    assert tokenizer.encode(text) == reference.encode(text)


def test_no_token_crosses_a_word_boundary(
    tokenizer: SentencePieceTokenizer, reference: sentencepiece.SentencePieceProcessor
) -> None:
    pieces = [reference.id_to_piece(token) for token in range(tokenizer.vocabulary_size)]
    pieces_as_text = [
        p.replace("▁", " ")
        for i, p in enumerate(pieces)
        if not (reference.is_byte(i) or reference.is_control(i))
    ]
    assert [text for text in pieces_as_text if text != "<unk>" and WORD.findall(text) != [text]] == []


def test_special_tokens_have_fixed_ids_and_no_text(tokenizer: SentencePieceTokenizer) -> None:
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad) == (1, 2, 3)
    assert tokenizer.special == {
        "<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3,
        "<|system|>": 4, "<|user|>": 5, "<|assistant|>": 6, "<|end|>": 7,
    }  # fmt: skip
    assert tokenizer.decode(np.arange(8)) == ""
    assert not tokenizer.byte_lengths()[:8].any()


def test_pickled_tokenizer_encodes_alike(tokenizer: SentencePieceTokenizer) -> None:
    other = pickle.loads(pickle.dumps(tokenizer))
    assert all(other.encode(text) == tokenizer.encode(text) for text in texts()[:3])


def test_training_is_independent_of_text_order(tokenizer: SentencePieceTokenizer) -> None:
    shuffled = texts()
    random.Random(1).shuffle(shuffled)
    assert train(shuffled, TokenizerConfig(vocabulary_size=900)).sha256 == tokenizer.sha256


@pytest.mark.parametrize(
    ("corpus", "size", "message"),
    [
        (
            ["a few words only"],
            5000,
            r"vocabulary_size = 5000: the text supports only \d+ tokens; set at most",
        ),
        (["".join(map(chr, range(0x4E00, 0x5000)))], 300, "vocabulary_size = 300: .* raise it"),
        ([], 300, "no text to train"),
    ],
)
def test_unsuitable_vocabulary_size_is_rejected(corpus: list[str], size: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(corpus, TokenizerConfig(vocabulary_size=size))
    assert "\n" not in str(caught.value)


def test_altered_or_missing_model_is_rejected(folder: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    data = bytearray((tmp_path / MODEL).read_bytes())
    data[1000] ^= 1
    (tmp_path / MODEL).write_bytes(data)
    with pytest.raises(ManifestError, match="altered"):
        load_published(str(tmp_path))
    with pytest.raises(ManifestError, match=r"has no manifest\.json"):
        load_published(str(tmp_path / "elsewhere"))
