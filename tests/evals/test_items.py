"""Data files: supported formats, and error messages for invalid files."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError, ManifestError
from core.shards import Shards
from evals.items import Item, read_items
from evals.suite import load_suite
from tests.evals.texts import TEXTS


def write_files(tmp_path: Path, **contents: str | bytes) -> dict[str, str]:
    """Write files, given with ``_`` for ``.`` and ``-``, and return their paths by ``--data`` name."""
    names = {"piqa_labels": "piqa.labels", "source": "translation-en-de.source"}
    names |= {"target": "translation-en-de.target", "crows": "crows-pairs"}
    paths = {}
    for key, content in contents.items():
        path = tmp_path / key
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths[names.get(key, key)] = str(path)
    return paths


def fields(items: list[Item]) -> list[dict[str, object]]:
    return [dict(item.fields) for item in items]


def test_json_lines_and_labels_are_merged(tmp_path: Path) -> None:
    rows = '{"goal": "g", "sol1": "a", "sol2": "b"}\n\n{"goal": "h", "sol1": "c", "sol2": "d"}\n'
    items, files = read_items(load_suite("piqa"), write_files(tmp_path, piqa=rows, piqa_labels="1\r\n0\n"))
    assert [item.fields["label"] for item in items] == ["1", "0"]
    assert items[1].location == f"{tmp_path / 'piqa'} line 3"
    assert items[1].field_locations["label"] == f"{tmp_path / 'piqa_labels'} line 2"
    assert [(file.name, file.rows) for file in files] == [("piqa", 2), ("piqa.labels", 2)]


def test_labels_may_be_in_the_main_file(tmp_path: Path) -> None:
    items, _ = read_items(
        load_suite("piqa"), write_files(tmp_path, piqa='{"goal": "g", "sol1": "a", "sol2": "b", "label": 1}')
    )
    assert items[0].fields["label"] == 1


def test_gzipped_parallel_text_keeps_empty_lines(tmp_path: Path) -> None:
    items, _ = read_items(
        load_suite("translation-en-de"),
        write_files(tmp_path, source=gzip.compress(b"a\n\nc\n"), target="\ufeffA\nB\nC"),
    )
    assert fields(items) == [
        {"source": "a", "target": "A"},
        {"source": "", "target": "B"},
        {"source": "c", "target": "C"},
    ]


def test_csv_line_numbers_count_line_breaks_in_fields(tmp_path: Path) -> None:
    text = 'sent_more,sent_less,stereo_antistereo,bias_type\n"a\nb",c,stereo,age\nd,e,antistereo,age\n'
    items, _ = read_items(load_suite("crows-pairs"), write_files(tmp_path, crows=text))
    assert items[0].fields["sent_more"] == "a\nb"
    assert [item.location.rpartition(" ")[2] for item in items] == ["2", "4"]


def test_folder_of_text_files_has_one_item_per_file(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "b.txt").write_text("second")
    (tmp_path / "books" / "a.txt.gz").write_bytes(gzip.compress("första".encode()))
    items, files = read_items(load_suite("text"), {"text": str(tmp_path / "books")})
    assert fields(items) == [{"text": "första", "file": "a.txt.gz"}, {"text": "second", "file": "b.txt"}]
    assert len(files) == 2


def test_builtin_prompts_need_no_data() -> None:
    items, _ = read_items(load_suite("toxicity"), {})
    assert len(items) == 30
    assert all(isinstance(item.fields["prompt"], str) and item.fields["prompt"] for item in items)


def test_validation_documents_are_reassembled_from_shards(trained: Path) -> None:
    """Rows hold segments of documents in any order; items are the complete texts."""
    items, files = read_items(load_suite("validation"), {"validation": str(trained)})
    found = {
        source: sorted(str(item.fields["text"]) for item in items if item.fields["source"] == source)
        for source in ("books", "wikipedia")
    }
    assert found == {source: sorted(TEXTS["validation", source]) for source in ("books", "wikipedia")}
    assert [item.fields["source"] for item in items[:4]] == ["books", "wikipedia"] * 2
    shards = Shards.open(str(trained / "shards"))
    segments = [
        length
        for source in shards.sources
        for length in shards.read("validation", source, np.arange(shards.rows("validation", source)))[
            1
        ].length
    ]
    assert len(segments) > len(items)
    assert files[0].sha256 == shards.manifest.sha256()


@pytest.mark.parametrize(
    ("suite", "contents", "message"),
    [
        ("piqa", {}, "suite piqa needs data that it does not include; give its path with --data piqa=PATH"),
        ("piqa", {"piqa": ""}, "empty: suite piqa needs at least one item"),
        ("piqa", {"piqa": "\n"}, "empty: suite piqa needs at least one item"),
        ("piqa", {"piqa": '{"a": 1}\n{"a": }\n'}, "piqa line 2: not JSON"),
        ("piqa", {"piqa": "[1]\n"}, "piqa line 1: [1]: each line must be a JSON object"),
        ("piqa", {"piqa": b'{"a": "\xff"}'}, "not UTF-8 at byte 7"),
        ("piqa", {"piqa": gzip.compress(b"x" * 99)[:20]}, "broken gzip"),
        ("piqa", {"piqa": '{"a": 1}\n', "piqa_labels": "0\n1\n"}, "has 2: files that are read in parallel"),
        ("wikisplit", {"wikisplit": "a\tb\nno tab\n"}, "line 2: 1 fields, but 2 are needed (long, short)"),
        ("crows-pairs", {"crows": "a,b\n1,2,3\n"}, "line 2: more fields than the header line"),
        ("crows-pairs", {"crows": 'a,b\n"1"x,2\n'}, "line 2: not CSV"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, suite: str, contents: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_items(load_suite(suite), write_files(tmp_path, **contents))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_items(load_suite("piqa"), {"piqa": str(tmp_path / "lost")})
    with pytest.raises(ManifestError, match=r"has no manifest\.json"):
        read_items(load_suite("validation"), {"validation": str(tmp_path)})


def test_missing_field_error_lists_present_fields() -> None:
    item = Item(0, {"a": "x", "b": 3}, {"a": "f line 1", "b": "f line 1"}, "f line 1")
    with pytest.raises(InputError, match=r"f line 1: no field 'goal' \(it has a, b\); add it"):
        item.value("goal")
    with pytest.raises(InputError, match="f line 1: field 'b' is 3: must be text"):
        item.text("b")


def test_data_names_include_parts() -> None:
    named = load_suite("translation-en-de")
    assert [named.data_name(file) for file in named.suite.files] == [
        "translation-en-de.source",
        "translation-en-de.target",
    ]
