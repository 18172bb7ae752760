"""Identity of texts and of addresses: what counts as the same text, and as the same page."""

import hashlib
import re
import unicodedata
from urllib.parse import parse_qsl, urlencode, urlsplit

_TRACKING = frozenset(
    ("_ga", "dclid", "fbclid", "gclid", "gclsrc", "igshid", "mc_cid", "mc_eid", "msclkid", "yclid")
)
"""Query parameters that name a visit, not a page; so do those that begin with ``utm_``."""
_SESSION = frozenset(("jsessionid", "phpsessid", "sessionid", "sid"))
"""Query parameters that name a visit if the value is a session id. Elsewhere ``sid`` may name an article."""
_SESSION_ID = r"(?=[0-9A-Za-z-]*[0-9])(?=[0-9A-Za-z-]*[A-Za-z])(?:[0-9A-Za-z]{16,}={0,2}|[0-9A-Fa-f-]{36})"
"""Letters and digits, as servers generate them, or a UUID. Titles and numbers of articles do not match."""
_IS_SESSION_ID = re.compile(rf"{_SESSION_ID}(?:[.!][\w.!-]*)?").fullmatch
"""Java servers append their own name to a session id."""
_SESSION_IN_PATH = re.compile(rf";jsessionid={_SESSION_ID}(?:[.!][\w.!-]*)?(?=[/;]|$)", re.IGNORECASE)
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
    parameters, and session ids and parameters that track visits do not count.
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
        if not _names_a_visit(name.lower(), value)
    ]
    query = urlencode(sorted(parameters), errors="surrogateescape")
    path = _SESSION_IN_PATH.sub("", parts.path)
    return host + path.rstrip("/") + (f"?{query}" if query else "")


def _names_a_visit(name: str, value: str) -> bool:
    is_session = name in _SESSION and _IS_SESSION_ID(value) is not None
    return is_session or name in _TRACKING or name.startswith("utm_")


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
