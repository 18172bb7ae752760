"""The chat page at ``/``: static files without a build step and without requests to other hosts.

A model's output is untrusted. The page inserts it as text nodes only, and its policy forbids inline scripts
and connections to other hosts.
"""

import hashlib
from collections.abc import Awaitable, Callable
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""No inline scripts or styles, no other host, and no conversion of strings to markup (Trusted Types)."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
}

MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes() -> list[Route]:
    """Return the routes of ``/`` and its files. They are held in memory: no request path reaches the disk."""
    files = {file.name: file.read_bytes() for file in resources.files("serve").joinpath("static").iterdir()}
    paths = {name: f"/static/{name}" for name in sorted(files)} | {"index.html": "/"}
    return [Route(path, _endpoint(name, files[name])) for name, path in paths.items()]


def _endpoint(name: str, content: bytes) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that sends a file, or status 304 if the browser has it already."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    media_type = MEDIA_TYPES[name.rpartition(".")[2]]
    headers = HEADERS | {"ETag": etag, "Content-Type": f"{media_type}; charset=utf-8"}

    async def endpoint(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return endpoint
