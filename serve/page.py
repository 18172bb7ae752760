"""The chat page at ``/``: static files, no build step, nothing from another host.

What a model writes may be hostile. The page builds it by text nodes only, and the browser is told to run
no script and to ask no host but ours.
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
"""No inline script or style, no other host, and no string ever becomes markup (Trusted Types)."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
}

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes() -> list[Route]:
    """``/`` and the files that it names, all held in memory: no path of a request reaches the disk."""
    files = {file.name: file.read_bytes() for file in resources.files("serve").joinpath("static").iterdir()}
    paths = {name: f"/static/{name}" for name in sorted(files)} | {"index.html": "/"}
    return [Route(path, _answer(name, files[name])) for name, path in paths.items()]


def _answer(name: str, content: bytes) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers with one file, or with 304 where the browser has it already."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": tag, "Content-Type": f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8"}

    async def endpoint(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return endpoint
