"""The key under which identical texts meet."""


def exact_key(text_hash: str) -> int:
    """The first 64 bits of a text's hash (32 hex digits) as int64, to stand beside the band hashes."""
    return int.from_bytes(bytes.fromhex(text_hash[:16]), "big", signed=True)
