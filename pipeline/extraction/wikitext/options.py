"""Options of the conversion to prose."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Options:
    """The page and the wiki that the wikitext comes from, and the parts to keep."""

    language: str = "en"
    project: str = "wikipedia"
    title: str = ""
    saved_on: date | None = None
    """The day on which the page was saved, which ages and other relative dates refer to."""
    hidden_namespaces: frozenset[str] = frozenset()
    """The local names, in lower case, of the file and category namespaces, whose links are removed."""
    tables: bool = True
    lists: bool = True


DEFAULT = Options()
