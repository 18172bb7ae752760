"""A line is an object of text, numbers and so on, or an error that says where and why."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import jsonl
from core.errors import InputError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=3), st.booleans())
def test_objects_are_read(record: dict[str, Any], escaped: bool) -> None:
    assert jsonl.parse_object(json.dumps(record, ensure_ascii=escaped), "a, line 1") == record


@given(st.text(st.sampled_from('{}[]",:\\ud83dE2e-'), max_size=30) | st.text(max_size=10))
def test_any_line_is_an_object_or_one_line_of_error(line: str) -> None:
    try:
        assert isinstance(jsonl.parse_object(line, "a, line 1"), dict)
    except InputError as error:
        assert str(error).startswith("a, line 1: ")
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r'{"a": "x \ud83d"}', r"field 'a' has half of a surrogate pair (\ud83d) at character 3"),
        (
            r'{"m": [{"c": "x"}, {"c": ["\udc00y"]}]}',
            r"field 'm[2].c[1]' has half of a surrogate pair (\udc00)",
        ),
        (r'{"\ud800": 1}', "half of a surrogate pair"),
        ('{"a": 1, "b": 2, "a": 3}', "field 'a' occurs twice; keep one"),
        ('{"m": [{"c": 1, "c": 1}]}', "field 'c' occurs twice; keep one"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ('{"a": "x', "not JSON"),
        ("5", "5: each line must be a JSON object"),
    ],
)
def test_other_lines_are_refused(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        jsonl.parse_object(line, "a, line 1")
    assert str(caught.value).startswith("a, line 1: ")
    assert message in str(caught.value)


def test_whole_surrogate_pairs_and_other_escapes_are_text() -> None:
    line = r'{"a": "\ud83d\ude00\u0000\ufdd0", "b": "\\ud83d", "c": NaN}'
    found = jsonl.parse_object(line, "a, line 1")
    assert (found["a"], found["b"]) == ("😀\x00\ufdd0", r"\ud83d")
