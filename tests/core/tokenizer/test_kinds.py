"""Laws of every kind of trained tokenizer, and of its export."""

import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import transformers
from hypothesis import example, given
from hypothesis import strategies as st

from core.config import TokenizerConfig
from core.errors import InputError
from core.stage import Stage
from core.tokenizer import STAGE, HuggingFaceTokenizer, Tokenizer, load_published, publish, train
from core.tokenizer.chat import ChatTemplate, Message
from core.tokenizer.sentencepiece_model import SPECIAL
from tests.core.tokenizer.samples import any_text, texts

Kind = Literal["bpe", "unigram", "byte-bpe", "char"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SIZE = 440


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def made(kind: Kind) -> Tokenizer:
    return train(texts(), TokenizerConfig(kind=kind, vocabulary_size=SIZE))


@pytest.fixture(scope="module")
def run(made: Tokenizer, kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("published"))
    manifest = publish(made, Stage(STAGE, folder), {"kind": kind})
    assert manifest.facts["sha256"] == made.sha256
    return folder


@pytest.fixture(scope="module")
def exported(run: str) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer.load(run)


@given(text=any_text)
@example(text="▁ a▁b ▁")
@example(text="<|user|></s><0x41><pad>")
@example(text="aaaaaaaaaaaaaaaa" * 20)
@example(text="1234 日本語の文章。\r\n\u0301\U0010ffff")
def test_every_text_survives_and_never_encodes_to_special_tokens(
    made: Tokenizer, exported: HuggingFaceTokenizer, text: str
) -> None:
    ids = made.encode(text)
    assert made.decode(ids) == text
    assert not set(ids) & set(made.special.values())
    assert made.byte_lengths()[ids].sum() == len(text.encode())
    assert b"".join(map(made.token_bytes, ids)) == text.encode()
    assert exported.encode(text) == ids
    assert exported.decode(np.array(ids)) == text


@given(batch=st.lists(any_text, max_size=6))
def test_batches_are_encoded_like_single_texts(made: Tokenizer, batch: list[str]) -> None:
    assert [ids.tolist() for ids in made.encode_batch(batch)] == [made.encode(text) for text in batch]
    assert [ids.dtype for ids in made.encode_batch(batch)] == [np.dtype(np.int32)] * len(batch)


def test_special_tokens_are_the_same_in_all_kinds(made: Tokenizer) -> None:
    assert dict(made.special) == {name: token for token, name in enumerate(SPECIAL)}
    assert (made.bos, made.eos, made.pad) == (1, 2, 3)
    assert made.decode(range(8)) == ""
    assert not made.byte_lengths()[:8].any()


def test_published_tokenizer_is_the_trained_one(made: Tokenizer, run: str) -> None:
    found = load_published(run)
    for each in (found, pickle.loads(pickle.dumps(found))):
        assert type(each) is type(made)
        assert (each.sha256, each.names, each.chat_template) == (made.sha256, made.names, made.chat_template)
        assert all(each.encode(text) == made.encode(text) for text in texts()[:3])


def test_export_of_the_published_tokenizer_has_its_hash(made: Tokenizer, run: str, tmp_path: Path) -> None:
    load_published(run).write(str(tmp_path))
    for file in tmp_path.iterdir():
        assert file.read_bytes() == Path(run, file.name).read_bytes()


def test_transformers_loads_the_published_folder(made: Tokenizer, run: str) -> None:
    peer = transformers.AutoTokenizer.from_pretrained(run)
    text = "Naïve  kalomi ▁ 2024 \n\n日本 🙂"
    assert peer.encode(text, add_special_tokens=False) == made.encode(text)
    assert peer.encode(text) == [1, *made.encode(text)]
    assert peer.decode(made.encode(text)) == text


def test_conversations_use_the_reserved_tokens(made: Tokenizer) -> None:
    ids = ChatTemplate(made).prompt([Message("user", "<|end|> ka")])
    assert ids == [1, 5, *made.encode("<|end|> ka"), 7, 6]


def test_training_is_independent_of_text_order(made: Tokenizer, kind: Kind) -> None:
    shuffled = texts()
    random.Random(1).shuffle(shuffled)
    assert train(shuffled, TokenizerConfig(kind=kind, vocabulary_size=SIZE)).sha256 == made.sha256


def test_training_is_the_same_in_another_process(made: Tokenizer, kind: Kind) -> None:
    """Hashes of strings differ there."""
    program = (
        "from core.config import TokenizerConfig\nfrom core.tokenizer import train\n"
        "from tests.core.tokenizer.samples import texts\n"
        f"print(train(texts(), TokenizerConfig(kind={kind!r}, vocabulary_size={SIZE})).sha256)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == made.sha256


def test_too_little_text_is_refused_except_for_characters(kind: Kind) -> None:
    settings = TokenizerConfig(kind=kind, vocabulary_size=5000)
    if kind == "char":
        assert train(["ab", "ba"], settings).vocabulary_size == len(SPECIAL) + 256 + 2
        return
    with pytest.raises(InputError, match=r"vocabulary_size = 5000: .*\d") as caught:
        train(["a few words only " * 3], settings)
    assert "\n" not in str(caught.value)


def test_characters_have_a_token_each_and_the_rarest_are_left_out() -> None:
    found = train(["aaabbc▁"], TokenizerConfig(kind="char", vocabulary_size=10_000))
    assert [found.token_bytes(token) for token in found.encode("ab▁")] == [b"a", b"b", "▁".encode()]
    characters = "".join(map(chr, range(0x4E00, 0x4E40)))
    few = train([characters * 2 + "zzz"], TokenizerConfig(kind="char", vocabulary_size=300))
    assert few.vocabulary_size == 300
    assert len(few.encode("z")) == len(few.encode(characters[0])) == 1
    assert len(few.encode(characters[-1])) == 3
