"""Feedback endpoints: rate or correct an answer by the id of its response, and delete what was stored."""

import time

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serve.api.errors import ApiError, invalid_body, unavailable
from serve.api.schemas import FeedbackRequest
from serve.feedback.recent import Answer
from serve.feedback.recorder import FeedbackFailedError, FeedbackRecorder
from serve.feedback.store import Feedback, UnknownResponseError


def routes(recorder: FeedbackRecorder) -> list[Route]:
    """Return the routes: POST stores feedback, DELETE deletes it, GET reports what the server stores."""

    async def state(_request: Request) -> JSONResponse:
        stored = {"kept": recorder.enabled, "conversations": recorder.store_all}
        return JSONResponse({"object": "feedback.state", **stored})

    async def add(request: Request) -> JSONResponse:
        _check_enabled(recorder)
        try:
            body = FeedbackRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise invalid_body(error) from None
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
