"""The lists of templates are well formed."""

from importlib import resources

import pytest

from core.resources import read_toml
from pipeline.extraction.wikitext.templates import expansion, locales

PACKAGE = "pipeline.extraction.wikitext"
FILES = sorted(file.name for file in resources.files(PACKAGE).joinpath("data/templates").iterdir())


@pytest.mark.parametrize("file", FILES)
def test_templates_are_listed_once_in_lower_case_with_a_valid_pattern(file: str) -> None:
    patterns = read_toml(PACKAGE, f"data/templates/{file}")
    names = [name for listed in patterns for name in listed.split("|")]
    assert len(names) == len(set(names))
    assert names == [name.lower() for name in names]
    for pattern in patterns.values():
        assert pattern in expansion._FUNCTIONS or not pattern.startswith("@")
        assert pattern.count("{") == pattern.count("}")
        assert pattern.count("[") == pattern.count("]")


def test_every_language_with_a_list_is_described() -> None:
    projects = {"all", "sister", "wiktionary", "wikivoyage", "wikisource"}
    assert {file.removesuffix(".toml") for file in FILES} - projects == set(locales.data()["described"])
    assert set(locales.data()["related"].values()) <= set(locales.data()["described"])
