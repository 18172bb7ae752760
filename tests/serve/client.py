"""Requests to a server under test: the process, or the one in this process."""

import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from openai import OpenAI

MESSAGES: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Wie geht's? 水車"}]


@dataclass(frozen=True)
class ServerUrl:
    """The address of a server, and its OpenAI client and metrics."""

    url: str

    def client(self, key: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=300)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as response:
            return str(response.read().decode())

    def post(
        self, body: bytes, path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and JSON of a request that may be invalid."""
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=120)) as connection:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def complete(self, status: int = 200, **parameters: Any) -> dict[str, Any]:
        """Return the response to a short, greedy completion."""
        body = json.dumps({"model": "tiny", "temperature": 0, "max_tokens": 4, **parameters}).encode()
        found, response = self.post(body, "/v1/completions")
        assert found == status, response
        return response

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[HTTPResponse, bytes]:
        """Return the response to any request, and its body."""
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=120)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read()

    def metric(self, name: str, labels: str = "") -> float:
        """Return the value of a metric; 0 if it has none yet."""
        prefix = f"gristmill_{name}{labels} "
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(prefix)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    def is_ready(self) -> bool:
        try:
            return bool(json.loads(self.get("/health/ready"))["status"] == "ready")
        except OSError:
            return False


def chat_body(**parameters: Any) -> bytes:
    """Return the body of a short chat completion, with other or more parameters."""
    default = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    return json.dumps({**default, **parameters}).encode()


def start_stream(client: OpenAI, max_tokens: int) -> Any:
    """Return a greedy stream after its first chunk, which has no text."""
    stream = client.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=max_tokens, temperature=0, stream=True
    )
    assert next(iter(stream)).choices[0].finish_reason is None
    return stream


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Poll ``condition`` until it is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still false after {seconds} s"
        time.sleep(0.02)
