"""Variants of the API's paths that clients send, depending on their base URL."""

import re

ENDPOINT = re.compile(
    r"""
    (?:/.*?)??                                                      # a prefix that a proxy did not remove
    /(?:v1/)*                                                       # missing, or repeated
    (?P<endpoint>chat/completions|completions|models(?:/.+)?|feedback(?:/[^/]+)?
        |tokenize|detokenize|tokenizer_info)
    """,
    re.VERBOSE,
)


def canonical_path(path: str) -> str:
    """Return the path of the endpoint that ``path`` means; other paths are returned as they are.

    >>> canonical_path("//v1/models/"), canonical_path("/chat/completions"), canonical_path("/llm/v1/models")
    ('/v1/models', '/v1/chat/completions', '/v1/models')
    """
    parts = [part for part in path.split("/") if part]
    found = ENDPOINT.fullmatch("/" + "/".join(parts))
    return f"/v1/{found['endpoint']}" if found else path
