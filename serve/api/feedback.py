"""Feedback endpoint: ``POST /v1/feedback`` rates an answer by the id of its response, or corrects it."""

import logging
import sqlite3

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from core.errors import InputError
from serve.api.errors import ApiError, invalid_body, unavailable
from serve.api.schemas import FeedbackRequest
from serve.feedback.store import FeedbackStore, UnknownResponseError

log = logging.getLogger(__name__)


def routes(store: FeedbackStore) -> list[Route]:
    """Return the routes: POST stores feedback, GET reports whether feedback is stored."""

    async def state(_request: Request) -> JSONResponse:
        return JSONResponse({"object": "feedback.state", "kept": store.enabled})

    async def add(request: Request) -> JSONResponse:
        if not store.enabled:
            message = "this server does not store feedback; start it with --set serve.feedback=FILE"
            raise ApiError(403, message, "feedback_off")
        try:
            body = FeedbackRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise invalid_body(error) from None
        return JSONResponse({"object": "feedback", **await _add(store, body), **body.model_dump()})

    return [
        Route("/v1/feedback", state, methods=["GET"]),
        Route("/v1/feedback", add, methods=["POST"]),
    ]


async def _add(store: FeedbackStore, body: FeedbackRequest) -> dict[str, str | int]:
    """Store feedback and return its id and time."""
    try:
        return await run_in_threadpool(
            store.add_feedback, body.response_id, body.rating, body.correction, body.comment
        )
    except UnknownResponseError:
        message = f"there is no stored answer {body.response_id!r}; send the id of a response"
        raise ApiError(404, message, "response_not_found", "response_id") from None
    except (sqlite3.Error, InputError) as error:
        log.warning("feedback on %s was not stored: %s", body.response_id, error)
        raise unavailable("feedback cannot be stored now; try again later", "feedback_failed") from None
