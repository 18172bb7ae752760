"""Client of an OpenAI-compatible server, with the standard library only."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from core.errors import InputError

TIMEOUT_SECONDS = 300.0
"""Longest time without data from the server."""
MAX_ERROR_BYTES = 100_000


class Client:
    """Client of one server. Errors of the server and the connection are raised as :class:`InputError`."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{url}: not the URL of a server; give one such as http://127.0.0.1:8000")
        secure = parts.scheme == "https"
        self._connection_type = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._url = parts.netloc.rpartition("@")[2], url
        self._path = parts.path.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def model(self) -> str:
        """Return the name of the server's first model, which must not be a base model."""
        try:
            with self._request("GET", "/v1/models") as response:
                model = json.load(response)["data"][0]
                name, can_chat = str(model["id"]), model.get("chat") is not False
        except (ValueError, LookupError, TypeError, AttributeError):
            raise InputError(f"{self._url}: not an OpenAI-compatible server; check the address") from None
        if not can_chat:
            raise InputError(
                f"{name}: a base model, which has no chat template and only continues text; serve one that "
                "was fine-tuned on conversations"
            )
        return name

    def stream(self, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the chunks of an answer, each with its finish reason, which is empty before the last."""
        try:
            with self._request("POST", "/v1/chat/completions", json.dumps(body)) as response:
                yield from _chunks(response)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise InputError(f"the connection was lost during the answer ({error}); try again") from None

    def _request(self, method: str, path: str, body: str | None = None) -> http.client.HTTPResponse:
        try:
            connection = self._connection_type(self._host, timeout=TIMEOUT_SECONDS)
            connection.request(method, self._path + path, body, self._headers)
            response = connection.getresponse()
            if response.status == 200:
                return response
            with response:
                content = response.read(MAX_ERROR_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"{self._url}: cannot be reached ({error}); is the server running?") from None
        raise InputError(_error_message(self._url, response.status, content))


def _chunks(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """Parse server-sent events. Raises IncompleteRead if they end without the final ``[DONE]``."""
    for line in lines:
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        if not line.startswith(b"data:"):
            continue
        event = json.loads(data)
        if "error" in event:
            raise InputError(str(event["error"]["message"]))
        for choice in event["choices"]:
            yield choice["delta"].get("content") or "", choice["finish_reason"] or ""
    raise http.client.IncompleteRead(b"")


def _error_message(url: str, status: int, body: bytes) -> str:
    """Return the message of an error response."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return f"{url}: returned status {status}; check the address"
