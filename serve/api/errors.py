"""Error responses in OpenAI's format."""

from collections.abc import Mapping
from itertools import takewhile

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from serve.api.schemas import neutral
from serve.service import UnavailableError

RETRY_SECONDS = 1


class ApiError(Exception):
    """A rejected request: HTTP status, message, machine-readable code, and the invalid parameter if known.

    ``details`` are further fields of the error object, such as the safety filter's rule.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers
        self.details = details or {}

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body of the response."""
        types = {401: "authentication_error", 429: "rate_limit_error"}
        default = "server_error" if self.status >= 500 else "invalid_request_error"
        error_type = types.get(self.status, default)
        error = {
            "message": str(self),
            "type": error_type,
            "param": self.param,
            "code": self.code,
            **self.details,
        }
        return {"error": error}

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        return JSONResponse(self.body, self.status, self.headers)


def unavailable(message: str, code: str) -> ApiError:
    """Return the error of a temporary failure: status 503 with ``Retry-After``."""
    return ApiError(503, message, code, headers={"Retry-After": str(RETRY_SECONDS)})


def queue_full() -> ApiError:
    """Return the error of a full queue: status 429 with ``Retry-After``."""
    message = "too many requests are waiting; try again in a moment"
    return ApiError(429, message, "queue_full", headers={"Retry-After": str(RETRY_SECONDS)})


def model_failed() -> ApiError:
    """Return the error of a model that failed while it generated."""
    return ApiError(500, "the model failed on this request; see the server's log", "model_failed")


def internal_error() -> ApiError:
    """Return the error of an unexpected failure."""
    message = "internal error; see the server's log under this request's id"
    return ApiError(500, message, "internal_error")


def timed_out() -> ApiError:
    """Return the error of a request that cannot be answered in part when its time limit passes."""
    message = "the time limit passed before the prompt was processed; send fewer or shorter prompts"
    return ApiError(504, message, "timeout")


def invalid_body(error: ValidationError) -> ApiError:
    """Return the error for the first problem of a request body."""
    problem = error.errors(include_url=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "json_invalid":
        return ApiError(400, f"the body is not valid JSON ({message}); send a JSON object", "invalid_json")
    name = _parameter(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return ApiError(400, *neutral.rejection(name, problem["input"]), name)
    if problem["type"] == "missing":
        return ApiError(400, f"{name} is missing; send it", "missing_parameter", name)
    return ApiError(400, f"{name or 'the body'}: {message}", "invalid_value", name or None)


def _parameter(location: tuple[int | str, ...]) -> str:
    """Return ``messages[0].content`` for ("messages", 0, "content").

    pydantic appends the types that it tried to the location; these are left out.
    """
    known = takewhile(lambda part: isinstance(part, int) or (part.isidentifier() and part != "str"), location)
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in known)
    return "".join(parts).removeprefix(".")


async def on_api_error(_request: Request, error: Exception) -> JSONResponse:
    """Handle :class:`ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def on_unavailable(_request: Request, error: Exception) -> JSONResponse:
    """Handle :class:`UnavailableError`: status 503."""
    assert isinstance(error, UnavailableError)
    return unavailable(str(error), error.code).response()


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Handle Starlette's own errors: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message, code = f"{request.url.path}: no such path; see GET /v1/models", "not_found"
    else:
        allowed = (error.headers or {}).get("Allow", "another method")
        message, code = f"{request.method} {request.url.path}: use {allowed}", "method_not_allowed"
    return ApiError(error.status_code, message, code, headers=error.headers).response()


async def on_failure(_request: Request, _error: Exception) -> JSONResponse:
    """Handle unexpected errors: status 500. Starlette logs them."""
    return internal_error().response()
