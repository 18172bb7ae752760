"""A record as extraction sees it."""

from typing import NamedTuple


class Raw(NamedTuple):
    body: bytes | str
    media: str = "html"
    charset: str | None = None
    url: str = ""
    language: str = ""
    hidden_namespaces: frozenset[str] = frozenset()
