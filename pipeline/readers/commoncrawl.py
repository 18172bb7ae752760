"""Common Crawl inputs by name: the files of a crawl, from the path lists that Common Crawl publishes.

``commoncrawl:CC-MAIN-2026-30`` names the WARC files of a crawl, ``commoncrawl:CC-MAIN-2026-30/wet`` its
extracted texts, ``commoncrawl:CC-NEWS/2026/07`` a month of news, and ``commoncrawl:LIST`` the files of any
list, gzipped or not, with one path per line. ``?sample=0.01`` keeps that share of the files: those with the
smallest hashes of their paths, so that a larger sample contains every smaller one.
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

_CRAWL = re.compile(r"(?P<crawl>CC-[A-Z0-9-]+(?:/\d{4}/\d{2})?)(?:/(?P<file_type>warc|wet))?")
_SAMPLE = re.compile(r"sample=(?P<share>\d*\.?\d+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """A list of paths, and the share of them to read."""

    list_path: str
    share: float


def parse(name: str, base: str) -> Selection:
    """Parse a ``commoncrawl:…`` name; ``base`` is the root of the crawls. Raises :class:`InputError`."""
    location, mark, query = name.removeprefix(SCHEME).partition("?")
    sample = _SAMPLE.fullmatch(query) if mark else None
    share = float(sample["share"]) if sample else 1.0
    crawl = _CRAWL.fullmatch(location)
    if (
        not location
        or (mark and not sample)
        or not 0 < share <= 1
        or (location.startswith("CC-") and not crawl)
    ):
        raise InputError(
            f"{name}: must be commoncrawl:CRAWL, commoncrawl:CRAWL/warc, commoncrawl:CRAWL/wet or "
            "commoncrawl:PATH_OF_A_LIST, optionally with ?sample=SHARE above 0 and at most 1; correct it"
        )
    if not crawl:
        return Selection(storage.absolute(location), share)
    folder = storage.join(storage.absolute(base), "crawl-data", crawl["crawl"])
    return Selection(storage.join(folder, f"{crawl['file_type'] or 'warc'}.paths.gz"), share)


def expand(name: str, base: str) -> list[str]:
    """Return the files that a ``commoncrawl:…`` name selects, in the order of their list.

    Relative paths in the list are resolved against ``base``. Opens nothing but the list. Raises
    :class:`InputError` for an invalid name, for a list that is missing or damaged, and if no file is
    selected.
    """
    selection = parse(name, base)
    root = storage.absolute(base)
    listed = [path for path in _lines(selection.list_path) if _hash_fraction(path) < selection.share]
    if not listed:
        raise InputError(
            f"{name}: no path of {selection.list_path} is selected; raise the sample or check the list"
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


def _hash_fraction(path: str) -> float:
    """Hash a path to a number from 0 to 1."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=6).digest()) / 2**48
