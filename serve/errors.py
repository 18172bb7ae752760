"""Refusals over HTTP, in the form that OpenAI's clients read."""

from collections.abc import Mapping
from itertools import takewhile

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

RETRY_SECONDS = 1


class ApiError(Exception):
    """A request that is refused: an HTTP status, a message for people, a code for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON that the client gets."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = kinds.get(self.status, usual)
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The answer that says so."""
        return JSONResponse(self.body, self.status, self.headers)


def unavailable(message: str, code: str) -> ApiError:
    """Not now, but later."""
    return ApiError(503, message, code, headers={"Retry-After": str(RETRY_SECONDS)})


def invalid(error: ValidationError) -> ApiError:
    """What a body's first problem is."""
    problem = error.errors(include_url=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "json_invalid":
        return ApiError(400, f"the body is no JSON ({message}); send a JSON object", "invalid_json")
    name = _name(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return ApiError(400, f"unknown parameter {name}; leave it out", "unknown_parameter", name)
    if problem["type"] == "missing":
        return ApiError(400, f"{name} is missing; send it", "missing_parameter", name)
    return ApiError(400, f"{name or 'the body'}: {message}", "invalid_value", name or None)


def _name(place: tuple[int | str, ...]) -> str:
    """``messages[0].content`` for ("messages", 0, "content"); pydantic also names the type that it tried."""
    known = takewhile(lambda part: isinstance(part, int) or (part.isidentifier() and part != "str"), place)
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in known)
    return "".join(parts).removeprefix(".")


async def on_api_error(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler of :class:`ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler of its own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message, code = f"{request.url.path}: there is nothing here; see GET /v1/models", "not_found"
    else:
        message, code = f"{request.method} {request.url.path}: {error.detail}", "method_not_allowed"
    return ApiError(error.status_code, message, code, headers=error.headers).response()


async def on_failure(_request: Request, _error: Exception) -> JSONResponse:
    """Starlette's handler of what should not have happened; it logs the error itself."""
    message = "the server failed; its log, under the request's id, says why"
    return ApiError(500, message, "internal_error").response()
