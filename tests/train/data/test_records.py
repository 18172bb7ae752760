"""Files of examples are read as conversations, or refused with their location."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from core.config import FinetuneConfig
from core.errors import ConfigError, GristmillError, InputError
from core.tokenizer.chat import Message
from train.data.records import ExampleFile, RecordReader, source_name

ASKED = {"role": "user", "content": "Why?"}
ANSWERED = {"role": "assistant", "content": "Because."}


def read(file: ExampleFile, **settings: Any) -> list[list[Message]]:
    reader = RecordReader(FinetuneConfig(**settings))
    return [reader.conversation(row) for row in reader.rows(file)]


def lines(path: Path, *records: Any) -> str:
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records)
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_conversations_and_prompt_completion_pairs(name: str, tmp_path: Path) -> None:
    pair = {"prompt": "Say {{ prompt }}", "completion": " {{ completion }}\n"}
    path = lines(tmp_path / name, {"messages": [ASKED, ANSWERED], "id": 7}, "", pair)
    assert read(path) == [
        [Message("user", "Why?"), Message("assistant", "Because.")],
        # Placeholders in a record are not filled.
        [Message("user", "Say {{ prompt }}"), Message("assistant", " {{ completion }}\n")],
    ]
    assert source_name(path) == "a"


def test_translation_from_two_files_or_from_records(tmp_path: Path) -> None:
    settings = {
        "preset": "translation",
        "values": {"source_language": "English", "target_language": "German"},
    }
    expected = [
        Message("user", "Translate from English to German.\n\nEnglish: A dog.\nGerman:"),
        Message("assistant", "Ein Hund."),
    ]
    pair = (lines(tmp_path / "train.en", "A dog."), lines(tmp_path / "train.de.gz", "Ein Hund."))
    assert read(pair, **settings) == [expected]
    assert source_name(pair) == "train"
    record = lines(tmp_path / "a.jsonl", {"en": "A dog.", "de": "Ein Hund."})
    assert read(record, **settings, fields={"source": "en", "target": "de"}) == [expected]


def test_summarization(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"document": "Long.", "summary": "Short."})
    (asked, answered) = read(path, preset="summarization")[0]
    assert asked.content.startswith("Long.\n")
    assert answered == Message("assistant", "Short.")


def test_user_defined_preset(tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text('[[forms]]\nturns = [{ role = "system", content = "Be {{ how }}: {{ text }}" }]\n')
    path = lines(tmp_path / "a.jsonl", {"how": "kind", "text": "yes"})
    assert read(path, preset=str(preset)) == [[Message("system", "Be kind: yes")]]
    preset.write_text("forms = 1")
    with pytest.raises(ConfigError, match="forms = 1"):
        read(path, preset=str(preset))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", r"line 2: not JSON"),
        (
            r'{"prompt": "cut \ud83d", "completion": "x"}',
            "line 2: field 'prompt' has half of a surrogate pair",
        ),
        ('{"prompt": "x", "prompt": "y"}', "line 2: field 'prompt' occurs twice"),
        ('{"prompt": NaN, "completion": "x"}', "line 2: prompt is NaN: must be non-empty text"),
        ('{"prompt": ["x"], "completion": "x"}', r'line 2: prompt is \["x"\]: must be non-empty text'),
        ({"messages": [{"role": ["user"], "content": "x"}]}, r"message 1: role \['user'\]: must be one of"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "message 1: content is "),
        ("[1]", r"line 2: \[1\]: each line must be a JSON object"),
        ({"text": "x"}, "line 2: has the fields text, but preset chat needs messages or completion, prompt"),
        ({"messages": []}, "line 2: messages must be a non-empty list"),
        ({"messages": "hello"}, "line 2: messages must be a non-empty list"),
        ({"messages": [ASKED, {"content": "x"}]}, "line 2, message 2: has no role"),
        ({"messages": [ASKED, "x"]}, "line 2, message 2: has no role"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "message 1: role 'bot': must be one of system, us"),
        (
            {"messages": [{"role": "user", "content": " "}]},
            'message 1: content is " ": must be non-empty text',
        ),
        ({"messages": [{"role": "user"}]}, "message 1: content is null"),
        ({"prompt": "x", "completion": 5}, "line 2: completion is 5: must be non-empty text"),
    ],
)
def test_records_that_are_not_conversations_are_refused(record: Any, message: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "bad.jsonl", {"messages": [ASKED, ANSWERED]}, record)
    refused(InputError, message, path)


def test_byte_order_mark_line_ends_and_blank_lines_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "x\\u0000", "completion": "y"}\r\n\r\n \n{"messages": [')
    with pytest.raises(InputError, match="line 4: not JSON"):
        read(str(path))
    path.write_bytes(path.read_bytes().rpartition(b"\n")[0])
    assert read(str(path)) == [[Message("user", "x\x00"), Message("assistant", "y")]]


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    refused(InputError, "no such file", str(tmp_path / "none.jsonl"))
    damaged = tmp_path / "a.jsonl.gz"
    damaged.write_bytes(gzip.compress(b'{"messages": []}\n' * 2000)[:-9])
    refused(InputError, r"a\.jsonl\.gz, line \d+: ", str(damaged))
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}')
    refused(InputError, "line 1: not readable as UTF-8", str(tmp_path / "latin.jsonl"))
    pair = (lines(tmp_path / "en", "one", "two"), lines(tmp_path / "de", "eins"))
    values = {"source_language": "a", "target_language": "b"}
    refused(InputError, "de: ends before line 2", pair, preset="translation", values=values)
    empty = (lines(tmp_path / "e", "one", ""), lines(tmp_path / "d", "eins", "zwei"))
    refused(InputError, 'e, line 2: source is ""', empty, preset="translation", values=values)


def test_settings_that_do_not_match_the_preset_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"messages": [ASKED]})
    refused(ConfigError, "no such preset; choose from chat, summarization, translation", path, preset="chut")
    refused(ConfigError, "no such preset", path, preset=str(tmp_path / "none.toml"))
    refused(ConfigError, "values: source_language is missing", path, preset="translation")
    refused(ConfigError, "values: tone is unknown: preset chat takes none", path, values={"tone": "x"})
    refused(ConfigError, r"fields\.text: preset chat has no such field; it has", path, fields={"text": "x"})
    refused(ConfigError, "preset chat does not accept pairs of text files; use JSONL", (path, path))


def refused(error: type[GristmillError], message: str, file: ExampleFile, **settings: Any) -> None:
    with pytest.raises(error, match=message) as caught:
        read(file, **settings)
    assert "\n" not in str(caught.value)
