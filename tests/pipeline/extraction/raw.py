"""A minimal raw record for extraction tests."""

from typing import NamedTuple


class RawRecord(NamedTuple):
    body: bytes | str
    media: str = "html"
    charset: str | None = None
    url: str = ""
    language: str = ""
    hidden_namespaces: frozenset[str] = frozenset()
