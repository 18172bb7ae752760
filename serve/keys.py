"""API keys: who may ask."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import ConfigError

VARIABLE = "GRISTMILL_API_KEYS"


class Keys:
    """The keys that are valid; without any, everybody may ask."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header carries a valid key; the time it takes tells nothing."""
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return not self._digests or (scheme.lower() == "bearer" and any(matches))


def load(path: str, environment: Mapping[str, str]) -> Keys:
    """The keys of a file (one per line, ``#`` begins a comment; empty path: none) and of the environment.

    Raises :class:`ConfigError` for a file that cannot be read or has no key.
    """
    found = environment.get(VARIABLE, "").split()
    if path:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"serve.api_keys = {path}: cannot be read ({error}); name a file with one key per line"
            ) from None
        keys = [key for line in lines if (key := line.partition("#")[0].strip())]
        if not keys:
            raise ConfigError(f"serve.api_keys = {path}: has no key; write one per line")
        found += keys
    return Keys(found)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
