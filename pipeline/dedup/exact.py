"""Deduplication key of identical texts."""


def exact_key(text_hash: str) -> int:
    """Return the first 64 bits of a text's hash (32 hex digits) as int64, the type of the band hashes."""
    return int.from_bytes(bytes.fromhex(text_hash[:16]), "big", signed=True)
