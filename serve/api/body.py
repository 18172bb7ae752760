"""Parsing of request bodies."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from serve.api.errors import invalid_body

SchemaT = TypeVar("SchemaT", bound=BaseModel)

LARGE_BODY = 16_384
"""Bytes from which on a body is parsed in a thread, since the event loop would delay other streams."""
UTF8_BOM = b"\xef\xbb\xbf"


async def parse(request: Request, schema: type[SchemaT]) -> SchemaT:
    """Return the JSON body of a request. Raises :class:`serve.api.errors.ApiError` if it is invalid."""
    body = (await request.body()).removeprefix(UTF8_BOM)
    try:
        if len(body) > LARGE_BODY:
            return await run_in_threadpool(schema.model_validate_json, body)
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from None
