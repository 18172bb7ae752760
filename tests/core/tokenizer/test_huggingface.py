"""Hugging Face tokenizers, and the export of SentencePiece tokenizers to their format."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import example, given

from core.errors import InputError
from core.tokenizer import HuggingFaceTokenizer, SentencePieceTokenizer
from core.tokenizer.hub_settings import TokenizerSettings
from tests.commands import REAL_DATA
from tests.core.tokenizer.families import FAMILIES, write
from tests.core.tokenizer.samples import any_text

SENTENCES = REAL_DATA / "langid/sentences"


@pytest.fixture(scope="module")
def written(tokenizer: SentencePieceTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SentencePiece tokenizer, exported as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("written")
    tokenizer.write(str(folder))
    return folder


@pytest.fixture(scope="module")
def hub(written: Path) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer.load(str(written))


@given(any_text)
@example("▁ a▁b ▁")
@example("<|user|></s><0x41>")
def test_export_encodes_like_the_original(
    tokenizer: SentencePieceTokenizer, hub: HuggingFaceTokenizer, text: str
) -> None:
    ids = tokenizer.encode(text)
    assert hub.encode(text) == ids
    assert hub.encode_array(text).tolist() == ids
    assert hub.decode(ids) == text


def test_export_has_the_same_properties(tokenizer: SentencePieceTokenizer, hub: HuggingFaceTokenizer) -> None:
    for found in (hub, pickle.loads(pickle.dumps(hub))):
        assert found.vocabulary_size == tokenizer.vocabulary_size
        assert (found.bos, found.eos, found.pad) == (tokenizer.bos, tokenizer.eos, tokenizer.pad)
        assert found.special == tokenizer.special
        assert found.names == tokenizer.names
        assert found.chat_template == tokenizer.chat_template
        assert found.byte_lengths().tolist() == tokenizer.byte_lengths().tolist()
    assert hub.decode(range(8)) == ""


def test_transformers_loads_the_export(tokenizer: SentencePieceTokenizer, written: Path) -> None:
    peer: Any = transformers.AutoTokenizer.from_pretrained(written)
    text = "Naïve  kalomi ▁ 2024 \n\n日本 🙂"
    assert peer.encode(text, add_special_tokens=False) == tokenizer.encode(text)
    assert peer.decode(tokenizer.encode(text)) == text
    assert (peer.bos_token_id, peer.eos_token_id, peer.pad_token_id) == (1, 2, 3)


@pytest.mark.skipif(not SENTENCES.exists(), reason="needs ../shared/data beside the repository")
def test_export_encodes_real_text_of_many_languages_alike(
    tokenizer: SentencePieceTokenizer, hub: HuggingFaceTokenizer
) -> None:
    files = sorted(SENTENCES.glob("*.txt"))
    assert len(files) > 50
    for file in files:
        text = file.read_text(encoding="utf-8")[:3000]
        assert hub.encode(text) == tokenizer.encode(text), file.name


def test_write_and_load_round_trip(hub: HuggingFaceTokenizer, tmp_path: Path) -> None:
    hub.write(str(tmp_path))
    again = HuggingFaceTokenizer.load(str(tmp_path))
    assert again.sha256 == hub.sha256
    assert again.__reduce__() == hub.__reduce__()


def changed(
    written: Path,
    folder: Path,
    definition: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> HuggingFaceTokenizer:
    """Load a copy of the folder with some keys changed; None removes a key."""
    for name, changes in (("tokenizer.json", definition), ("tokenizer_config.json", settings)):
        values = json.loads((written / name).read_text()) | (changes or {})
        (folder / name).write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    return HuggingFaceTokenizer.load(str(folder))


def test_tokens_of_settings_and_template_are_control_tokens(written: Path, tmp_path: Path) -> None:
    """Even if the definition does not mark them so, they must not be encoded from text."""
    tokens = json.loads((written / "tokenizer.json").read_text())["added_tokens"]
    plain = [token | {"special": False} for token in tokens]
    found = changed(written, tmp_path, {"added_tokens": plain}, {"chat_template": "{{ '<|user|>' }}"})
    assert set(found.special) == {"<unk>", "<s>", "</s>", "<pad>"}
    assert set(found.control) == {*found.special, "<|user|>"}
    assert not set(found.encode("<s></s><pad><|user|>")) & set(found.control.values())
    assert found.encode("<|system|>") == [4]


def test_all_forms_of_settings_are_read(written: Path, tmp_path: Path) -> None:
    templates = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    bos = {"content": "<s>", "lstrip": False}
    settings = {"bos_token": bos, "chat_template": templates, "add_bos_token": False, "pad_token": None}
    found = changed(written, tmp_path, settings=settings)
    assert (found.names["bos_token"], found.chat_template) == ("<s>", "yes")
    assert found.bos is None
    assert found.pad == found.eos == 2
    (tmp_path / "chat_template.jinja").write_text("from its own file")
    assert HuggingFaceTokenizer.load(str(tmp_path)).chat_template == "from its own file"


def test_tokens_of_older_and_other_settings_are_read(written: Path, tmp_path: Path) -> None:
    """As transformers does: names in special_tokens_map.json, tokens that only the settings add."""
    definition = json.loads((written / "tokenizer.json").read_text())
    without = [token for token in definition["added_tokens"] if token["content"] not in ("</s>", "<|end|>")]
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": {"content": "</s>", "lstrip": false}}')
    found = changed(written, tmp_path, {"added_tokens": without}, {"eos_token": None})
    assert (found.eos, found.special["</s>"]) == (2, 2)
    assert 2 not in found.encode("</s>")
    added = {"7": {"content": "<|end|>", "special": True}, "950": {"content": "<new>", "special": False}}
    found = changed(
        written,
        tmp_path,
        {"added_tokens": without},
        {"added_tokens_decoder": added, "additional_special_tokens": ["<|user|>"], "pad_token": "<lost>"},
    )
    assert found.special["<|end|>"] == 7
    assert found.vocabulary_size == len(definition["model"]["vocab"]) + 1
    assert found.pad == found.eos
    again = tmp_path / "again"
    again.mkdir()
    found.write(str(again))
    assert HuggingFaceTokenizer.load(str(again)).encode("a<new>") == found.encode("a<new>")
    for settings in ({"added_tokens_decoder": {"x": 5}}, {"additional_special_tokens": [{}]}):
        with pytest.raises(InputError, match=r"tokenizer_config\.json: not a tokenizer's settings"):
            changed(written, tmp_path, settings=settings)
    with pytest.raises(InputError, match="chat_template is 5; must be text"):
        changed(written, tmp_path, settings={"chat_template": 5})


def test_unigram_pieces_of_special_tokens_are_not_encoded_from_text(tmp_path: Path) -> None:
    found = HuggingFaceTokenizer.load(str(write(tmp_path, FAMILIES["t5"]())))
    assert not {1, 2}.intersection(found.encode("a</s><s> b"))


def test_transformers_puts_bos_in_front_of_texts_and_once_in_chats(
    tokenizer: SentencePieceTokenizer, written: Path, tmp_path: Path
) -> None:
    peer: Any = transformers.AutoTokenizer.from_pretrained(written)
    assert peer("ka lo").input_ids == [1, *tokenizer.encode("ka lo")]
    ids = peer.apply_chat_template([{"role": "user", "content": "ka"}], return_dict=False)
    assert ids == [1, 5, *tokenizer.encode("ka"), 7]
    without = changed(written, tmp_path, settings={"add_bos_token": False})
    without.write(str(tmp_path))
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)("ka").input_ids == without.encode("ka")


def test_add_bos_defaults_to_the_post_processor(written: Path, tmp_path: Path) -> None:
    unset = {"add_bos_token": None}
    assert changed(written, tmp_path, {"post_processor": None}, unset).bos is None
    sequence = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokens = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    added = {"type": "TemplateProcessing", "single": sequence, "pair": sequence, "special_tokens": tokens}
    found = changed(written, tmp_path, {"post_processor": added}, unset)
    assert found.bos == 1
    assert found.encode("ka") == HuggingFaceTokenizer.load(str(written)).encode("ka")


def test_invalid_folders_are_rejected(written: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        HuggingFaceTokenizer.load(str(tmp_path))
    for definition in ("{", "[]", '{"model": {"type": "Guess"}}', '{"added_tokens": [1]}'):
        (tmp_path / "tokenizer.json").write_text(definition)
        with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer") as caught:
            HuggingFaceTokenizer.load(str(tmp_path))
        assert "\n" not in str(caught.value)
    for name, shown in ((None, "''"), ("<nothing>", "'<nothing>'")):
        with pytest.raises(
            InputError, match=f"eos_token = {shown}, which is not one of its tokens; name one"
        ):
            changed(written, tmp_path, settings={"eos_token": name})
    (tmp_path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"tokenizer\.json: not UTF-8"):
        HuggingFaceTokenizer.load(str(tmp_path))
    changed(written, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(InputError, match="not a JSON object"):
        HuggingFaceTokenizer.load(str(tmp_path))


def test_truncation_of_the_definition_is_disabled(hub: HuggingFaceTokenizer, written: Path) -> None:
    values = json.loads((written / "tokenizer.json").read_text())
    values["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    names = {"eos_token": "</s>"}
    text = "ka lo mi ter ven"
    assert HuggingFaceTokenizer(json.dumps(values), TokenizerSettings(names)).encode(text) == hub.encode(text)
