"""A minimal raw record for extraction tests."""

from datetime import datetime
from typing import NamedTuple


class RawRecord(NamedTuple):
    body: bytes | str
    media: str = "html"
    charset: str | None = None
    url: str = ""
    language: str = ""
    title: str = ""
    fetched_at: datetime | None = None
    hidden_namespaces: frozenset[str] = frozenset()
