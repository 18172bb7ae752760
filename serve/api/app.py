"""The ASGI application: all routes, error handlers and middleware."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve.api import chat_page, errors, feedback, models, tokenizer
from serve.api.admission import AdmissionMiddleware
from serve.api.completions import endpoints
from serve.api.errors import ApiError
from serve.api.keys import ApiKeys
from serve.api.middleware import RequestMiddleware
from serve.service import Service, UnavailableError


def create_app(service: Service, keys: ApiKeys, *, loopback_only: bool) -> ASGIApp:
    """Return the application; ``loopback_only``: other machines cannot reach it."""
    app: ASGIApp = Starlette(
        routes=[
            *models.routes(service),
            *endpoints.routes(service),
            *tokenizer.routes(service),
            *_monitoring_routes(service),
            *feedback.routes(service.feedback),
            *chat_page.routes(),
        ],
        exception_handlers={
            ApiError: errors.on_api_error,
            UnavailableError: errors.on_unavailable,
            HTTPException: errors.on_http_error,
            Exception: errors.on_failure,
        },
    )
    app = AdmissionMiddleware(app, service.settings, keys, loopback_only=loopback_only)
    if service.settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=service.settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Retry-After"],
            allow_private_network=True,
        )
    return RequestMiddleware(app, service)


def _monitoring_routes(service: Service) -> list[Route]:
    """Return the routes of health probes and metrics."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_request: Request) -> Response:
        return JSONResponse({"status": service.state}, 200 if service.state == "ready" else 503)

    async def metrics(_request: Request) -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/health", ready),
        Route("/metrics", metrics),
    ]
