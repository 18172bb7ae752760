"""Common Crawl by name: the files of a crawl, as its own lists of paths name them.

``commoncrawl:CC-MAIN-2026-30`` are the crawl's WARC files, ``commoncrawl:CC-MAIN-2026-30/wet`` the texts that
Common Crawl extracted, ``commoncrawl:CC-NEWS/2026/07`` a month of news. ``commoncrawl:LIST`` are the files of
a list: any file, gzipped or not, with one path per line. ``?sample=0.01`` after either keeps that share of
the files: those with the smallest hashes of their paths, so that a larger sample holds the smaller one.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from core import storage
from core.errors import InputError
from pipeline.readers.compressed import BrokenStreamError, blocks

SCHEME = "commoncrawl:"

_CRAWL = re.compile(r"(?P<crawl>CC-[A-Z0-9-]+(?:/\d{4}/\d{2})?)(?:/(?P<kind>warc|wet))?")
_SAMPLE = re.compile(r"sample=(?P<share>\d*\.?\d+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """A list of paths, and the share of them that is wanted."""

    list_path: str
    share: float


def parse(name: str, base: str) -> Selection:
    """What a ``commoncrawl:…`` name means under ``base``. Raises :class:`InputError` if it means nothing."""
    wanted, mark, query = name.removeprefix(SCHEME).partition("?")
    sample = _SAMPLE.fullmatch(query) if mark else None
    share = float(sample["share"]) if sample else 1.0
    crawl = _CRAWL.fullmatch(wanted)
    if not wanted or (mark and not sample) or not 0 < share <= 1 or (wanted.startswith("CC-") and not crawl):
        raise InputError(
            f"{name}: must read commoncrawl:CRAWL, perhaps with /warc or /wet, or commoncrawl: and a list's "
            "path, and after either perhaps ?sample=SHARE, above 0 and at most 1; correct it"
        )
    if not crawl:
        return Selection(storage.absolute(wanted), share)
    folder = storage.join(storage.absolute(base), "crawl-data", crawl["crawl"])
    return Selection(storage.join(folder, f"{crawl['kind'] or 'warc'}.paths.gz"), share)


def expand(name: str, base: str) -> list[str]:
    """The files that a ``commoncrawl:…`` name stands for, in the order of their list.

    Relative paths of the list lie under ``base``. Nothing but the list is opened. Raises :class:`InputError`
    for a name that means nothing and for a list that is missing, damaged or empty, or whose sample is.
    """
    selection = parse(name, base)
    root = storage.absolute(base)
    listed = [path for path in _lines(selection.list_path) if _place(path) < selection.share]
    if not listed:
        raise InputError(
            f"{name}: no path of {selection.list_path} is chosen; raise the sample or check the list"
        )
    return [path if "://" in path or path.startswith("/") else storage.join(root, path) for path in listed]


def _lines(path: str) -> Iterator[str]:
    try:
        text = b"".join(blocks(BytesIO(storage.read_bytes(path)))).decode()
    except (BrokenStreamError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: must be a list of paths, one per line, but: {error}; fetch it again"
        ) from None
    return filter(None, map(str.strip, text.splitlines()))


def _place(path: str) -> float:
    """Where a path falls between 0 and 1, by hash."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=6).digest()) / 2**48
