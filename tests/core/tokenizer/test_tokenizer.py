import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given

from core import storage
from core.config import TokenizerConfig
from core.errors import InputError, ManifestError
from core.manifest import Stage
from core.tokenizer import STAGE, SentencePieceTokenizer, train
from core.tokenizer.sentencepiece_model import MODEL, WORD
from tests.core.tokenizer.samples import any_text, texts


@pytest.fixture(scope="module")
def whole(folder: str) -> sentencepiece.SentencePieceProcessor:
    """The same model, asked for whole texts at once."""
    return sentencepiece.SentencePieceProcessor(model_proto=storage.read_bytes(f"{folder}/{MODEL}"))


@given(any_text)
@example("▁ a▁b ▁")
@example("  two  spaces  ")
def test_decoding_gives_the_text_back(tokenizer: SentencePieceTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.byte_lengths()[ids].sum() == len(text.encode())
    assert not set(ids) & set(tokenizer.special.values())


@given(any_text.filter(lambda text: "▁" not in text))
def test_cutting_into_words_changes_nothing(
    tokenizer: SentencePieceTokenizer, whole: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    assert tokenizer.encode(text) == whole.encode(text)


def test_no_piece_reaches_over_a_cut(
    tokenizer: SentencePieceTokenizer, whole: sentencepiece.SentencePieceProcessor
) -> None:
    pieces = [whole.id_to_piece(token) for token in range(tokenizer.vocabulary_size)]
    pieces_as_text = [
        p.replace("▁", " ") for i, p in enumerate(pieces) if not (whole.is_byte(i) or whole.is_control(i))
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


def test_a_pickle_encodes_alike(tokenizer: SentencePieceTokenizer) -> None:
    other = pickle.loads(pickle.dumps(tokenizer))
    assert all(other.encode(text) == tokenizer.encode(text) for text in texts()[:3])


def test_the_order_of_texts_does_not_matter(
    folder: str, tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    shuffled = texts()
    random.Random(1).shuffle(shuffled)
    assert (
        train(shuffled, TokenizerConfig(vocabulary_size=900), Stage(STAGE, str(tmp_path))).facts["sha256"]
        == tokenizer.sha256
    )


@pytest.mark.parametrize(
    ("given_texts", "size", "message"),
    [
        (
            ["a few words only"],
            5000,
            r"vocabulary_size = 5000: the text supports only \d+ pieces; set at most",
        ),
        (["".join(map(chr, range(0x4E00, 0x5000)))], 300, "vocabulary_size = 300: .* raise it"),
        ([], 300, "no text to train"),
    ],
)
def test_a_size_that_does_not_fit_the_text_is_refused(
    given_texts: list[str], size: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(given_texts, TokenizerConfig(vocabulary_size=size), Stage(STAGE, str(tmp_path / "out")))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_altered_model_is_refused(folder: str, tmp_path: Path) -> None:
    for name in (MODEL, "manifest.json"):
        data = bytearray(storage.read_bytes(f"{folder}/{name}"))
        if name == MODEL:
            data[1000] ^= 1
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ManifestError, match="altered"):
        SentencePieceTokenizer.load(str(tmp_path))
    with pytest.raises(ManifestError, match=r"has no manifest\.json"):
        SentencePieceTokenizer.load(str(tmp_path / "elsewhere"))
