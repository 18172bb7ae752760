"""Identity of texts and of addresses: what counts as the same text, and as the same page."""

import hashlib
import unicodedata
from urllib.parse import parse_qsl, urlencode, urlsplit

_TRACKING = frozenset(
    ("_ga", "dclid", "fbclid", "gclid", "gclsrc", "igshid", "jsessionid", "mc_cid", "mc_eid", "msclkid")
) | frozenset(("phpsessid", "sessionid", "sid", "yclid"))
"""Query parameters that name a visit, not a page; so do those that begin with ``utm_``."""
_PORTS = {"http": 80, "https": 443}


def normalized_hash(text: str) -> str:
    """Return the hash of a text, 32 hexadecimal digits, regardless of white space and of Unicode composition.

    Equal hashes make exact duplicates. Case, punctuation and numbers count.
    """
    normalized = " ".join(text.split())
    if not normalized.isascii():
        normalized = unicodedata.normalize("NFC", normalized)
    return _hash(normalized)


def exact_key(normalized: str) -> int:
    """Return the first 64 bits of a text's hash (32 hex digits) as int64, the type of the band hashes."""
    return int.from_bytes(bytes.fromhex(normalized[:16]), "big", signed=True)


def url_hash(url: str) -> str | None:
    """Return the hash of the canonical address, 32 hexadecimal digits; None for a text without address."""
    canonical = canonical_url(url)
    return _hash(canonical) if canonical else None


def canonical_url(url: str) -> str:
    """Return what the variants of a page's address have in common; empty if it has no host.

    Scheme, ``www.``, case of the host, default port, fragment, a closing slash, the order of the query's
    parameters and those that track visits do not count.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").removeprefix("www.").rstrip("."), parts.port
    except ValueError:
        return ""
    if not host:
        return ""
    if port and port != _PORTS.get(parts.scheme):
        host += f":{port}"
    parameters = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape")
        if name.lower() not in _TRACKING and not name.lower().startswith("utm_")
    ]
    query = urlencode(sorted(parameters), errors="surrogateescape")
    return host + parts.path.rstrip("/") + (f"?{query}" if query else "")


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
