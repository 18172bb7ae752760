"""``/v1/models``: the served model."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve.api.errors import ApiError
from serve.service import ServedModel, Service


def routes(service: Service) -> list[Route]:
    """Return the routes of the list of models and of each model."""

    async def models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_model_object(service.model)]})

    async def model(request: Request) -> Response:
        return JSONResponse(_model_object(find_model(service, request.path_params["name"])))

    return [Route("/v1/models", models), Route("/v1/models/{name:path}", model)]


def find_model(service: Service, name: str) -> ServedModel:
    """Return the model called ``name``: by its name in the API or its own. Raises :class:`ApiError`."""
    model = service.model
    if name not in (model.name, model.loaded.name):
        message = f"there is no model {name!r}; this server has {model.name!r}"
        raise ApiError(404, message, "model_not_found", "model")
    return model


def _model_object(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "gristmill",
        "root": model.loaded.name,
        "sha256": model.loaded.sha256,
        "context_length": model.engine.capacity,
        "max_model_len": model.engine.capacity,
        "chat": model.can_chat,
    }
