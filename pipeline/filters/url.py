"""Addresses known for adult, phishing or malicious pages, by the lists that the datatrove package ships, and
by the user's own.

The domain list is the University of Toulouse's (4.6 million domains). It is compiled once per machine to a
sorted array of 64-bit hashes (36 MB) in the user's cache folder, and shared by all processes through memory
mapping; two different domains collide with a probability below one in a trillion.
"""

import re
import tarfile
import uuid
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import numpy as np

from core import storage
from core.errors import InputError
from pipeline.analysis import Hashes, line_hashes, suffix_hashes

CHUNK = 1 << 23
"""Bytes of a list hashed at a time."""

_ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class UrlLists:
    """What an address is compared with."""

    domains: Hashes
    """Sorted hashes; memory-mapped."""
    addresses: frozenset[str]
    """Host and path, without scheme."""
    words: frozenset[str]
    soft_words: frozenset[str]
    fragments: re.Pattern[str]
    """Strings that are telling anywhere in an address."""
    own_domains: frozenset[str] = frozenset()
    """The user's."""

    def measure(self, url: str) -> dict[str, float]:
        """How often each list matches: the values of the ``url.…`` conditions."""
        lowered = url.lower()
        words = set(_NEITHER_LETTER_NOR_DIGIT.split(lowered))
        host, address = host_and_address(lowered)
        return {
            "url_domain": self._listed(host),
            "url_address": int(address in self.addresses),
            "url_word": len(words & self.words),
            "url_soft_words": len(words & self.soft_words),
            "url_fragment": int(bool(self.fragments.search(_NEITHER_LETTER_NOR_DIGIT.sub("", lowered)))),
        }

    def _listed(self, host: str) -> int:
        """How many of the host and the domains that it lies in, down to two labels, are listed."""
        starts = [0, *(place + 1 for place, sign in enumerate(host) if sign == ".")][:-1]
        if not starts:
            return 0
        hashes = suffix_hashes(host.encode("ascii", "replace"), starts)
        places = np.minimum(self.domains.searchsorted(hashes), len(self.domains) - 1)
        shipped = (self.domains[places] == hashes).tolist()
        return sum(
            known or host[start:] in self.own_domains for known, start in zip(shipped, starts, strict=True)
        )


@cache
def load(domains: str = "", addresses: str = "", words: str = "") -> UrlLists:
    """The lists of the installed datatrove package, and on top those at the paths given, once per process.

    Compiles the shipped domains if need be. Raises :class:`InputError` for a path with no text file.
    """
    assets = resources.files("datatrove.assets")
    fragments = _words(assets.joinpath("banned_subwords.txt").read_text("utf-8"))
    own_addresses = {host_and_address(_with_scheme(line))[1] for line in _own(addresses)}
    with resources.as_file(assets.joinpath(_ARCHIVE)) as archive:
        return UrlLists(
            domains=_domains(archive),
            addresses=_addresses(archive) | own_addresses,
            words=_words(assets.joinpath("banned_words.txt").read_text("utf-8"))
            | _words("\n".join(_own(words))),
            soft_words=_words(assets.joinpath("soft_banned_words.txt").read_text("utf-8")),
            fragments=re.compile("|".join(sorted(map(re.escape, fragments)))),
            own_domains=frozenset(host_and_address(_with_scheme(line))[0] for line in _own(domains)),
        )


def _own(path: str) -> list[str]:
    """The entries of the user's own list: one per line, ``#`` begins a comment line. Without a path, none."""
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
    """The host, and it without ``www.`` with path and query; both empty for what is no address."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:  # a port that is no number, an unclosed bracket: no page of any list
        return "", ""
    query = f"?{parts.query}" if parts.query else ""
    return host, f"{host.removeprefix('www.')}{parts.path}{query}".rstrip("/")


def _words(text: str) -> frozenset[str]:
    """One entry per line, ``#`` begins a comment line; entries lose everything but letters and digits."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return frozenset(_NEITHER_LETTER_NOR_DIGIT.sub("", line.lower()) for line in lines)


def _addresses(archive: Path) -> frozenset[str]:
    with tarfile.open(archive) as tar, _member(tar, "urls") as stream:
        return frozenset(stream.read().decode("utf-8", "replace").lower().splitlines())


def _domains(archive: Path) -> Hashes:
    """Map the compiled list, compiling it first where no process of this machine has."""
    compiled = Path(
        storage.cache_folder(f"domains-{metadata.version('datatrove')}-{archive.stat().st_size}.npy")
    )
    if not compiled.exists():
        beside = compiled.with_name(f"{compiled.name}.{uuid.uuid4().hex}")
        with beside.open("wb") as stream:
            np.save(stream, compile_domains(archive))
        beside.replace(compiled)
    hashes: Hashes = np.load(compiled, mmap_mode="r").view(np.ndarray)
    return hashes


def compile_domains(archive: Path) -> Hashes:
    """Sorted, distinct hashes of the archive's domains. Some ten seconds for 124 MB."""
    pieces = []
    with tarfile.open(archive) as tar, _member(tar, "domains") as stream:
        rest = b""
        while piece := stream.read(CHUNK):
            whole, _, rest = (rest + piece).rpartition(b"\n")
            pieces.append(line_hashes(np.frombuffer(whole, np.uint8)))
        pieces.append(line_hashes(np.frombuffer(rest, np.uint8)))
    return np.unique(np.concatenate(pieces))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = tar.extractfile(name)
    assert stream is not None, f"{name} is a file of datatrove's archive"
    return stream
