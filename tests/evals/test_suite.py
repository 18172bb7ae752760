"""Suite files: those that are shipped, a user's own, faulty ones."""

from pathlib import Path

import pytest

from core.errors import ConfigError, InputError
from evals import suite
from evals.suite import FOLDER, MultipleChoice, Prompted, find


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_suite_is_sound(path: Path) -> None:
    named = find(path.stem)
    assert named.name == path.stem
    assert named.suite.description.endswith(".")
    for file in named.suite.files:
        if file.builtin:
            assert (FOLDER / file.builtin).is_file()


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="--suite pika: no such suite; the nearest is piqa"):
        find("pika")


def test_a_suite_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "piqa.toml").read_text() + "\n")
    named = find(str(path))
    assert (named.name, named.suite) == ("mine", find("piqa").suite)
    assert named.sha256 != find("piqa").sha256
    with pytest.raises(InputError, match="no such file"):
        find(str(tmp_path / "lost.toml"))


BASE = 'description = "d."\n[[files]]\nformat = "tsv"\nfields = ["a", "b"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
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
            "is no Jinja template",
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
def test_a_faulty_suite_is_refused_with_its_fault(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faulty.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        find(str(path))
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_field_holds_is_no_template() -> None:
    piqa = find("piqa").suite
    assert isinstance(piqa, MultipleChoice) and isinstance(piqa, Prompted)
    assert suite.needed(piqa.prompt) == {"goal"}
    hostile = "{{ 7 * 7 }} {% for x in y %}"
    assert suite.fill(piqa.prompt, {"goal": hostile}) == f"Question: {hostile}\nAnswer:"
