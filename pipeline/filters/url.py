"""URL blocklists of adult, phishing and malicious pages: those of the datatrove package and the user's own.

The domain list is the University of Toulouse's (4.6 million domains). It is compiled once per machine to a
sorted array of 64-bit hashes (36 MB) in the user's cache folder, which all processes memory-map. The
probability that two given domains collide is below one in a trillion.
"""

import re
import tarfile
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata, resources
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import numpy as np

from core import storage
from core.array_cache import cached_array
from core.errors import InputError
from pipeline.analysis import Hashes, line_hashes, suffix_hashes

CHUNK = 1 << 23
"""Bytes of a list that are hashed at a time."""

_ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class UrlLists:
    """Blocklists of domains, addresses, words and substrings."""

    domains: Hashes
    """Sorted hashes; memory-mapped."""
    addresses: frozenset[str]
    """Host and path, without scheme."""
    words: frozenset[str]
    soft_words: frozenset[str]
    fragments: re.Pattern[str]
    """Matches banned substrings anywhere in a URL, with only its letters and digits left."""
    user_domains: frozenset[str] = frozenset()

    def measure(self, url: str) -> dict[str, float]:
        """Return the number of matches in each list: the metrics of the ``url.…`` conditions."""
        lowered = url.lower()
        words = set(_NOT_ALPHANUMERIC.split(lowered))
        host, address = host_and_address(lowered)
        return {
            "url_domain": self._count_listed(host),
            "url_address": int(address in self.addresses),
            "url_word": len(words & self.words),
            "url_soft_words": len(words & self.soft_words),
            "url_fragment": int(bool(self.fragments.search(_NOT_ALPHANUMERIC.sub("", lowered)))),
        }

    def _count_listed(self, host: str) -> int:
        """Count how many of the host and its parent domains, down to two labels, are listed."""
        starts = [0, *(index + 1 for index, character in enumerate(host) if character == ".")][:-1]
        if not starts:
            return 0
        hashes = suffix_hashes(host.encode("ascii", "replace"), starts)
        indices = np.minimum(self.domains.searchsorted(hashes), len(self.domains) - 1)
        listed = (self.domains[indices] == hashes).tolist()
        return sum(
            found or host[start:] in self.user_domains for found, start in zip(listed, starts, strict=True)
        )


@cache
def load(domains: str = "", addresses: str = "", words: str = "") -> UrlLists:
    """Load the lists of the installed datatrove package and add the user's lists. Cached per process.

    Compiles the domain list if it is not in the cache. Raises :class:`InputError` for a path that is not a
    UTF-8 text file.
    """
    assets = resources.files("datatrove.assets")
    fragments = _words(assets.joinpath("banned_subwords.txt").read_text("utf-8"))
    user_addresses = {host_and_address(_with_scheme(line))[1] for line in _read_entries(addresses)}
    with resources.as_file(assets.joinpath(_ARCHIVE)) as archive:
        return UrlLists(
            domains=_domains(archive),
            addresses=_addresses(archive) | user_addresses,
            words=_words(assets.joinpath("banned_words.txt").read_text("utf-8"))
            | _words("\n".join(_read_entries(words))),
            soft_words=_words(assets.joinpath("soft_banned_words.txt").read_text("utf-8")),
            fragments=re.compile("|".join(sorted(map(re.escape, fragments)))),
            user_domains=frozenset(
                host_and_address(_with_scheme(line))[0] for line in _read_entries(domains)
            ),
        )


def _read_entries(path: str) -> list[str]:
    """Return the entries of a user's list, one per line without ``#`` comment lines; none without a path."""
    if not path:
        return []
    try:
        lines = storage.read_bytes(path).decode("utf-8").lower().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert the list"
        ) from None
    return [entry for line in lines if (entry := line.strip()) and not entry.startswith("#")]


def _with_scheme(entry: str) -> str:
    return entry if "://" in entry else f"//{entry}"


def host_and_address(url: str) -> tuple[str, str]:
    """Return a URL's host, and its host without ``www.`` with path and query. Both empty for invalid URLs."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:  # for example an invalid port or an unclosed bracket
        return "", ""
    query = f"?{parts.query}" if parts.query else ""
    return host, f"{host.removeprefix('www.')}{parts.path}{query}".rstrip("/")


def site(url: str) -> str:
    """Return a URL's host without ``www.``; empty for an invalid URL."""
    return host_and_address(url)[0].removeprefix("www.")


def _words(text: str) -> frozenset[str]:
    """Return the entries, one per line, reduced to letters and digits; ``#`` starts a comment line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return frozenset(_NOT_ALPHANUMERIC.sub("", line.lower()) for line in lines)


def _addresses(archive: Path) -> frozenset[str]:
    with tarfile.open(archive) as tar, _member(tar, "urls") as stream:
        return frozenset(stream.read().decode("utf-8", "replace").lower().splitlines())


def _domains(archive: Path) -> Hashes:
    """Memory-map the compiled list; compile it first if it is not in this machine's cache."""
    name = f"domains-{metadata.version('datatrove')}-{archive.stat().st_size}"
    return cached_array(name, partial(compile_domains, archive))


def compile_domains(archive: Path) -> Hashes:
    """Return the sorted, distinct hashes of the archive's domains. About ten seconds for 124 MB."""
    hashes = []
    with tarfile.open(archive) as tar, _member(tar, "domains") as stream:
        rest = b""
        while chunk := stream.read(CHUNK):
            lines, _, rest = (rest + chunk).rpartition(b"\n")
            hashes.append(line_hashes(np.frombuffer(lines, np.uint8)))
        hashes.append(line_hashes(np.frombuffer(rest, np.uint8)))
    return np.unique(np.concatenate(hashes))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = tar.extractfile(name)
    assert stream is not None, f"{name} is a file in datatrove's archive"
    return stream
