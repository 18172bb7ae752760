"""The chat page at ``/``: static files, no build step, nothing from another host.

What a model writes may be hostile. The page builds it by text nodes only, and the browser is told to run
no script and to ask no host but ours.
"""

import hashlib
import mimetypes
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


def routes() -> list[Route]:
    """``/`` and the files that it names, all held in memory: no path of a request reaches the disk."""
    files = sorted(resources.files("serve").joinpath("static").iterdir(), key=lambda file: file.name)
    return [
        Route("/" if file.name == "index.html" else f"/static/{file.name}", _File(file.name, file.read_bytes()))
        for file in files
    ]


class _File:
    """One file, answered with its hash as its ETag."""

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._headers = HEADERS | {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
        self.__name__ = name

    async def __call__(self, request: Request) -> Response:
        """The file, or 304 to a browser that already has it."""
        known = request.headers.get("if-none-match") == self._headers["ETag"]
        content, status = (b"", 304) if known else (self._content, 200)
        return Response(content, status, self._headers, media_type=self._type)
