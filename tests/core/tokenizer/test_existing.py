"""Existing tokenizers give the ids of the libraries that they come from."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
import transformers
from hypothesis import HealthCheck, example, given, settings
from tokenizers import pre_tokenizers

from core.config import TokenizerConfig
from core.errors import GristmillError, ManifestError
from core.stage import Stage
from core.tokenizer import STAGE, SentencePieceTokenizer, load_published, publish, read_existing, train
from core.tokenizer.existing import EOS_NAMES, SENTENCEPIECE_FILES
from core.tokenizer.sentencepiece_model import CHAT_TEMPLATE, CHAT_TOKENS
from tests.core.tokenizer.families import byte_level, write
from tests.core.tokenizer.samples import any_text, texts

OPTIONS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "split_digits": True,
              "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "nfkc": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "nmt_nfkc"},
    "t5": {"model_type": "unigram", "bos_id": -1, "pad_id": 0, "eos_id": 1, "unk_id": 2},
    "albert": {"model_type": "unigram", "byte_fallback": True, "add_dummy_prefix": False,
               "normalization_rule_name": "nfkc_cf", "remove_extra_whitespaces": False,
               "user_defined_symbols": ["<mark>"]},
}  # fmt: skip


def learned(**options: Any) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts() for line in text.split("\n")),
        model_writer=model,
        vocab_size=430,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return model.getvalue()


@pytest.fixture(scope="module", params=list(OPTIONS))
def model(request: pytest.FixtureRequest) -> bytes:
    return learned(**OPTIONS[request.param])


@pytest.fixture(scope="module")
def imported(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("model") / "any.model.v1"
    file.write_bytes(model)
    return read_existing(str(file)).tokenizer


def test_sentencepiece_models_give_the_ids_of_sentencepiece(model: bytes, imported: Any) -> None:
    peer = sentencepiece.SentencePieceProcessor(model_proto=model)
    for text in [*texts(), " two  spaces \n", "ﬁne ①", "", " ", "a\tb", "日本 é 🙂"]:
        text = text.replace("▁", "_").replace("<unk>", "").replace("<0x41>", "<mark>")
        assert imported.encode(text) == peer.encode(text), text
    assert (imported.eos, imported.bos) == (peer.eos_id(), peer.bos_id() if peer.bos_id() >= 0 else None)
    assert list(CHAT_TOKENS) == sorted(imported.special, key=imported.special.get)[-4:]
    assert imported.vocabulary_size == peer.vocab_size() + 4


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer in the format of GPT-2's release."""
    folder = tmp_path_factory.mktemp("gpt2")
    made = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    content = json.loads(made.to_str())["model"]
    names = {"<s>": "<|endoftext|>"}
    tokens = sorted(content["vocab"], key=content["vocab"].get)
    chosen = [names.get(token, token) for token in tokens if token not in ("<unk>", "</s>")]
    (folder / "encoder.json").write_text(json.dumps({token: index for index, token in enumerate(chosen)}))
    merges = [" ".join(merge) for merge in content["merges"]]
    (folder / "vocab.bpe").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return folder


def test_files_of_gpt2_give_the_ids_of_transformers(gpt2: Path, tmp_path: Path) -> None:
    tokenizer, form = read_existing(str(gpt2))
    assert form == "GPT-2"
    shutil.copy(gpt2 / "encoder.json", tmp_path / "vocab.json")
    shutil.copy(gpt2 / "vocab.bpe", tmp_path / "merges.txt")
    peer = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    for text in [*texts(), "don't  stop 2024!\n\n", "日本 🙂", ""]:
        assert tokenizer.encode(text) == peer.encode(text)
    end = peer.convert_tokens_to_ids("<|endoftext|>")
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad) == (None, end, end)
    assert read_existing(str(tmp_path)).tokenizer.sha256 == tokenizer.sha256
    assert tokenizer.vocabulary_size == len(peer) + len(CHAT_TOKENS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=any_text)
@example(text="<|endoftext|><|user|>")
def test_text_survives_byte_level_files_and_is_never_special(gpt2: Path, text: str) -> None:
    tokenizer = _cached(gpt2)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.special.values())


CACHE: dict[Path, Any] = {}


def _cached(folder: Path) -> Any:
    if folder not in CACHE:
        CACHE[folder] = read_existing(str(folder)).tokenizer
    return CACHE[folder]


def test_missing_tokens_are_added_after_the_others(tmp_path: Path) -> None:
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    plain.save(str(tmp_path / "tokenizer.json"))
    found = read_existing(str(tmp_path / "tokenizer.json")).tokenizer
    assert found.encode("abab") == [2, 2]
    assert dict(found.special) == dict(zip((EOS_NAMES[0], *CHAT_TOKENS), range(3, 8), strict=True))
    assert (found.bos, found.eos, found.pad) == (None, 3, 3)
    assert found.chat_template == CHAT_TEMPLATE


def test_named_tokens_and_template_are_kept(tmp_path: Path) -> None:
    made = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    folder = write(tmp_path / "hub", made, "{{ messages[0].content }}", add_bos_token=True)
    found = read_existing(str(folder)).tokenizer
    assert (found.names["eos_token"], found.bos) == ("</s>", made.token_to_id("<s>"))
    assert found.chat_template == "{{ messages[0].content }}"
    assert found.vocabulary_size == made.get_vocab_size()
    other = write(tmp_path / "no_eos", made, "", eos_token=None)
    assert read_existing(str(other)).tokenizer.eos == made.token_to_id("</s>")


def test_published_form_is_the_same_tokenizer(imported: Any, gpt2: Path, tmp_path: Path) -> None:
    for number, tokenizer in enumerate((imported, _cached(gpt2))):
        folder = str(tmp_path / str(number))
        made = publish(tokenizer, Stage(STAGE, folder), {"kind": "x"})
        found = load_published(folder)
        assert made.facts["sha256"] == found.sha256
        assert (found.bos, found.eos, found.pad) == (tokenizer.bos, tokenizer.eos, tokenizer.pad)
        assert found.special == tokenizer.special
        assert all(found.encode(text) == tokenizer.encode(text) for text in texts()[:5])


def test_tokenizer_of_another_run_is_taken_as_it_is(tmp_path: Path) -> None:
    made = train(texts(), TokenizerConfig(vocabulary_size=400))
    publish(made, Stage(STAGE, str(tmp_path / "tokenizer")), {})
    for path in (tmp_path, tmp_path / "tokenizer"):
        found, form = read_existing(str(path))
        assert isinstance(found, SentencePieceTokenizer)
        assert (found.sha256, form) == (made.sha256, "of another run")
    alone = tmp_path / "tokenizer/tokenizer.model"
    copied = Path(shutil.copy(alone, tmp_path / "copy.model"))
    assert read_existing(str(copied)).tokenizer.encode("<s> ka lo") == made.encode("<s> ka lo")
    data = bytearray(alone.read_bytes())
    data[500] ^= 1
    alone.write_bytes(data)
    with pytest.raises(ManifestError, match="altered"):
        read_existing(str(tmp_path))


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _cut_merges(folder: Path) -> None:
    _truncated(folder / "vocab.bpe")


def _wrong_merge(folder: Path) -> None:
    with (folder / "vocab.bpe").open("a") as stream:
        stream.write("qq zz\n")


def _gap(folder: Path) -> None:
    values = json.loads((folder / "encoder.json").read_text())
    values["a"] = 10_000
    (folder / "encoder.json").write_text(json.dumps(values))


def _other_class(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: _truncated(folder / "encoder.json"), "encoder.json: not JSON"),
        (_cut_merges, r"vocab\.bpe(:| line \d+:) .*get the whole file again"),
        (_wrong_merge, r"vocab\.bpe line \d+: not a merge"),
        (_gap, "encoder.json: not a vocabulary: its ids are not 0, 1, 2"),
        (_other_class, "vocabulary and merges of a Qwen2Tokenizer"),
    ],
)
def test_damaged_files_of_gpt2_are_one_clear_line(
    damage: Callable[[Path], None], message: str, gpt2: Path, tmp_path: Path
) -> None:
    shutil.copytree(gpt2, tmp_path, dirs_exist_ok=True)
    damage(tmp_path)
    with pytest.raises(GristmillError, match=message) as caught:
        read_existing(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files_are_one_clear_line(model: bytes, tmp_path: Path) -> None:
    file = tmp_path / SENTENCEPIECE_FILES[0]
    for data in (b"", model[:1000], b"\x00" + model, b"not a model", model[:-3]):
        file.write_bytes(data)
        with pytest.raises(GristmillError, match=r"tokenizer\.model: not a SentencePiece model") as caught:
            read_existing(str(tmp_path))
        assert "\n" not in str(caught.value)
    file.write_bytes(learned(model_type="char"))
    with pytest.raises(GristmillError, match="only BPE and unigram models"):
        read_existing(str(file))
    for content in ("{", "[]", '{"model": {"type": "Guess"}}', '{"model": 3}', "{}"):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(GristmillError, match=r"tokenizer\.json: not (JSON|a JSON object|a tokenizer)"):
            read_existing(str(tmp_path))
    for path in (tmp_path / "nowhere", tmp_path.parent):
        with pytest.raises(GristmillError, match=rf"{path}: no tokenizer; name a tokenizer\.json"):
            read_existing(str(path))
