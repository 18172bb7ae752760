"""Feedback endpoints: rate or correct an answer by the id of its response, and delete what was stored."""

import time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serve.api.body import parse
from serve.api.errors import ApiError, unavailable
from serve.api.schemas.base import StrictModel
from serve.api.schemas.generation import ChatMessage
from serve.feedback.recent import Answer
from serve.feedback.recorder import FeedbackFailedError, FeedbackRecorder
from serve.feedback.store import Feedback, UnknownResponseError

MAX_FEEDBACK_CHARACTERS = 100_000
"""Length limit of a correction or a comment."""


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; leave it out instead")
    return value


Text = Annotated[str, StringConstraints(max_length=MAX_FEEDBACK_CHARACTERS), AfterValidator(_not_blank)]


class FeedbackRequest(StrictModel):
    """Body of ``POST /v1/feedback``."""

    response_id: Annotated[str, StringConstraints(max_length=200)]
    rating: Literal["up", "down"]
    correction: Text | None = None
    """The answer as it should have been."""
    comment: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    """The conversation before the answer; used if the server does not remember it."""
    answer: str | None = None
    """The answer, likewise."""


def routes(recorder: FeedbackRecorder) -> list[Route]:
    """Return the routes: POST stores feedback, DELETE deletes it, GET reports what the server stores."""

    async def state(_request: Request) -> JSONResponse:
        stored = {"kept": recorder.enabled, "conversations": recorder.store_all}
        return JSONResponse({"object": "feedback.state", **stored})

    async def add(request: Request) -> JSONResponse:
        _check_enabled(recorder)
        body = await parse(request, FeedbackRequest)
        return JSONResponse({"object": "feedback", **await _add(recorder, body)})

    async def delete(request: Request) -> JSONResponse:
        _check_enabled(recorder)
        identifier = request.path_params["id"]
        try:
            deleted = await recorder.delete(identifier)
        except FeedbackFailedError:
            raise _failed("deleted") from None
        if not deleted:
            message = f"nothing is stored under {identifier!r}; send the id of a response or of feedback"
            raise ApiError(404, message, "feedback_not_found", "id")
        return JSONResponse({"object": "feedback.deleted", "id": identifier, "deleted": True})

    return [
        Route("/v1/feedback", state, methods=["GET"]),
        Route("/v1/feedback", add, methods=["POST"]),
        Route("/v1/feedback/{id}", delete, methods=["DELETE"]),
    ]


def _check_enabled(recorder: FeedbackRecorder) -> None:
    if not recorder.enabled:
        message = "this server does not store feedback; start it with --set serve.feedback=FILE"
        raise ApiError(403, message, "feedback_off")


async def _add(recorder: FeedbackRecorder, body: FeedbackRequest) -> dict[str, str | int | None]:
    """Store feedback and return it with its id and time."""
    fields = body.model_dump(include={"response_id", "rating", "correction", "comment"})
    try:
        stored = await recorder.rate(Feedback(**fields), _conversation(body))
    except UnknownResponseError:
        message = (
            f"the answer {body.response_id!r} is not known (any more); send the id of a response, or its "
            "messages and answer, too"
        )
        raise ApiError(404, message, "response_not_found", "response_id") from None
    except FeedbackFailedError:
        raise _failed("stored") from None
    return {"id": stored.id, "created": stored.created, **fields}


def _conversation(body: FeedbackRequest) -> Answer | None:
    """Return the conversation that the client sent, for an answer that the server no longer remembers."""
    if body.messages is None or body.answer is None:
        return None
    messages = [{"role": message.role, "content": message.content} for message in body.messages]
    return Answer(body.response_id, int(time.time()), "", "", messages, body.answer, "unknown")


def _failed(done: str) -> ApiError:
    return unavailable(f"feedback cannot be {done} now; try again later", "feedback_failed")
