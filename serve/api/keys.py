"""API keys."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import ConfigError

VARIABLE = "GRISTMILL_API_KEYS"


class ApiKeys:
    """The valid keys, as hashes; without any, every request is accepted."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: str) -> bool:
        """Return True if an ``Authorization`` header contains a valid key, in time independent of the key."""
        scheme, _, key = authorization.partition(" ")
        digest = _digest(key.strip())
        matches = [hmac.compare_digest(digest, valid) for valid in self._digests]
        return not self._digests or (scheme.lower() == "bearer" and any(matches))


def load(path: str, environment: Mapping[str, str]) -> ApiKeys:
    """Read keys from a file (one per line, ``#`` starts a comment; empty path: none) and the environment.

    Raises :class:`ConfigError` for a file that cannot be read or contains no key.
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
            raise ConfigError(f"serve.api_keys = {path}: contains no key; write one per line")
        found += keys
    return ApiKeys(found)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
