"""Suite files: shipped, written by users, and invalid."""

import re
from pathlib import Path

import pytest

from core.errors import ConfigError, InputError
from evals import suite
from evals.items import read_items
from evals.suite import SUITES_FOLDER, MultipleChoiceSuite, PromptedSuite, load_suite
from tests.commands import ROOT


@pytest.mark.parametrize("path", sorted(SUITES_FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_suites_are_valid(path: Path) -> None:
    named = load_suite(path.stem)
    assert named.name == path.stem
    assert named.suite.description.endswith(".")
    for file in named.suite.files:
        if file.builtin:
            assert (SUITES_FOLDER / file.builtin).is_file()


def test_unknown_suite_suggests_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match="--suite pika: no such suite; the nearest valid name is piqa; suites: "
    ):
        load_suite("pika")


def test_suite_is_loaded_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((SUITES_FOLDER / "piqa.toml").read_text() + "\n")
    named = load_suite(str(path))
    assert (named.name, named.suite) == ("mine", load_suite("piqa").suite)
    assert named.sha256 != load_suite("piqa").sha256
    with pytest.raises(InputError, match="no such file"):
        load_suite(str(tmp_path / "lost.toml"))


def test_example_in_documentation_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/evaluation.md").read_text("utf-8"), re.S)
    (tmp_path / "capitals.toml").write_text(example)
    named = load_suite(str(tmp_path / "capitals.toml"))
    (tmp_path / "capitals.jsonl").write_text('{"country": "France", "capital": "Paris"}\n' * 3)
    items, _ = read_items(named, {"capitals": str(tmp_path / "capitals.jsonl")})
    assert isinstance(named.suite, PromptedSuite)
    assert items[0].render(named.suite.prompt) == "Country: France\nCapital:"


BASE = 'description = "d."\n[[files]]\nformat = "tsv"\nfields = ["a", "b"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", "not TOML"),
        ("kind = 'guess'\n" + BASE, "kind = 'guess': must be one of perplexity, generation"),
        (
            "kind = 'perplexity'\nwindows = 3\n" + BASE,
            "windows: no such key; the nearest valid name is window",
        ),
        ("kind = 'perplexity'\nlimit = -1\n" + BASE, "limit = -1: must be at least 0"),
        ("kind = 'perplexity'\ndescription = 'd.'\nfiles = []", "files = "),
        ("kind = 'perplexity'\n" + BASE.replace('fields = ["a", "b"]', ""), "set files.fields"),
        (
            "kind = 'generation'\nprompt = '{{ a '\nreferences = ['{{ b }}']\nmetrics = ['bleu']\n" + BASE,
            "is not a valid Jinja template",
        ),
        (
            "kind = 'generation'\nprompt = '{{ a | no_filter }}'\nreferences = ['b']\nmetrics = ['bleu']\n"
            + BASE,
            "No filter named 'no_filter'",
        ),
        (
            "kind = 'generation'\nprompt = '{{ a }}'\nreferences = ['{{ b }}']\nmetrics = ['blue']\n" + BASE,
            "must be one of bleu, chrf, rouge, meteor",
        ),
    ],
)
def test_invalid_suites_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "invalid.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_suite(str(path))
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_field_values_are_not_interpreted_as_templates() -> None:
    piqa = load_suite("piqa").suite
    assert isinstance(piqa, MultipleChoiceSuite) and isinstance(piqa, PromptedSuite)
    assert suite.template_fields(piqa.prompt) == {"goal"}
    template_like = "{{ 7 * 7 }} {% for x in y %}"
    assert suite.render(piqa.prompt, {"goal": template_like}) == f"Question: {template_like}\nAnswer:"
