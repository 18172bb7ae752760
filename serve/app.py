"""The server's routes, put together."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve import completions, errors, feedback, page
from serve.errors import ApiError
from serve.middleware import Front
from serve.service import Service


def build(service: Service) -> ASGIApp:
    """The application."""
    origins = list(service.settings.cors_origins)
    cors = Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app = Starlette(
        routes=[
            *completions.routes(service),
            *_watching(service),
            *feedback.routes(service.journal),
            *page.routes(),
        ],
        middleware=[cors] if origins else [],
        exception_handlers={
            ApiError: errors.on_api_error,
            HTTPException: errors.on_http_error,
            Exception: errors.on_failure,
        },
    )
    return Front(app, service)


def _watching(service: Service) -> list[Route]:
    """For those who watch over the server."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_request: Request) -> Response:
        return JSONResponse({"status": service.state}, 200 if service.state == "ready" else 503)

    async def metrics(_request: Request) -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", metrics)]
