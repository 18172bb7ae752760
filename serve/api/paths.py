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
    """Return the path of the endpoint that ``path`` means; other paths without superfluous slashes.

    >>> [canonical_path(path) for path in ("//v1/models/", "/chat/completions", "/llm/v1/models", "/health/")]
    ['/v1/models', '/v1/chat/completions', '/v1/models', '/health']
    """
    path = "/" + "/".join(part for part in path.split("/") if part)
    found = ENDPOINT.fullmatch(path)
    return f"/v1/{found['endpoint']}" if found else path
