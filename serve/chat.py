"""``python -m serve.chat --model DIR`` or ``--server URL``: chat in the terminal.

``/reset`` begins anew, ``/quit`` (or the end of the input) leaves, Ctrl-C stops an answer and nothing else.
A model can write what a terminal takes for commands; they are shown in a form that commands nothing.
"""

import argparse
import http.client
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from core.errors import GristmillError, InputError, run

VARIABLE = "GRISTMILL_API_KEY"
PATIENCE = 300.0
"""Seconds without a word from a server."""

NOTES = {
    "content_filter": "[ended by the server's safety filter]",
    "length": "[the answer reached its greatest length]",
    "stopped": "[stopped]",
}

Turn = dict[str, str]
"""A message: its role and content."""
Answers = Callable[[Sequence[Turn]], Iterator[tuple[str, str]]]
"""From a conversation to the pieces of its answer; beside each, empty until the last, why it ended."""

_HARMLESS = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}  # pictures of controls
    | {0x7F: "\u2421"}
    | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], "\ufffd")
    | dict.fromkeys([0x200E, 0x200F, 0x061C, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
)
"""Control characters (C0, C1, delete), halves of surrogate pairs, and what turns the direction of writing."""


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    options = _parse(arguments)
    answers = _model(options) if options.model else _server(options)
    with suppress(ImportError):
        import readline  # noqa: F401 (from now on input() edits lines and remembers them)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    talk(answers, [_turn("system", options.system)] if options.system else [])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serve.chat", description="Chat in the terminal.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="DIR", help="loaded into this process; any that serve takes")
    source.add_argument(
        "--server", metavar="URL", help=f"a running server; {VARIABLE} holds its key, if it wants one"
    )
    parser.add_argument("--system", default="", help="a system prompt")
    parser.add_argument("--temperature", type=float, default=0.0, help="from 0 (greedy, the default) to 2")
    parser.add_argument("--tokens", type=int, default=512, help="of an answer, at most (512)")
    options = parser.parse_args(arguments)
    if not 0 <= options.temperature <= 2:
        parser.error(f"--temperature {options.temperature}: must lie from 0 to 2")
    if options.tokens < 1:
        parser.error(f"--tokens {options.tokens}: must be at least 1")
    return options


def talk(answers: Answers, opening: Sequence[Turn]) -> None:
    """Read questions and write answers until the input ends."""
    prompt = "\n> " if sys.stdin.isatty() else ""
    messages = list(opening)
    while True:
        try:
            question = input(prompt).strip().encode(errors="replace").decode()
        except KeyboardInterrupt:
            print("\n(/quit to leave)")
            continue
        except EOFError:
            break
        if question == "/quit":
            break
        if question == "/reset":
            messages = list(opening)
            print("(a new conversation)")
        elif question:
            messages.append(_turn("user", question))
            if answer := _told(answers(messages)):
                messages.append(_turn("assistant", answer))
            else:
                messages.pop()


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def _told(pieces: Iterator[tuple[str, str]]) -> str:
    """Write an answer as it comes; what came of it before it ended, was stopped or failed."""
    answer, finish = "", ""
    try:
        for piece, finish in pieces:  # noqa: B007 (the last one counts)
            answer += piece
            print(harmless(piece), end="", flush=True)
    except KeyboardInterrupt:
        finish = "stopped"
    except GristmillError as error:
        print("\n" * bool(answer) + harmless(f"error: {error}"), end="")
    note = NOTES.get(finish, "")
    print(f"\n{note}" if note and answer else note)
    return answer


def harmless(text: str) -> str:
    """The text as it may be shown on a terminal: line breaks and tabs are the only control characters."""
    return text.translate(_HARMLESS)


def _model(options: argparse.Namespace) -> Answers:
    """A model in this process."""
    from serve.local import Model  # PyTorch takes seconds to load, and a server's client needs none

    return Model(options.model, options.temperature, options.tokens).answer


def _server(options: argparse.Namespace) -> Answers:
    """A server's model. Raises :class:`InputError` where there is none."""
    server = Server(options.server, os.environ.get(VARIABLE, ""))
    model = server.model()

    def answers(turns: Sequence[Turn]) -> Iterator[tuple[str, str]]:
        settings = {"temperature": options.temperature, "max_tokens": options.tokens}
        return server.stream({"model": model, "messages": turns, "stream": True, **settings})

    return answers


class Server:
    """A running server. Its refusals and failures are :class:`InputError`."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{url}: no address of a server; give one such as http://127.0.0.1:8000")
        secure = parts.scheme == "https"
        self._kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._url = parts.netloc.rpartition("@")[2], url
        self._path = parts.path.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def model(self) -> str:
        """The name of the first model that it offers."""
        try:
            with self._ask("GET", "/v1/models") as response:
                return str(json.load(response)["data"][0]["id"])
        except (ValueError, LookupError, TypeError):
            raise InputError(f"{self._url}: no OpenAI-compatible server; check the address") from None

    def stream(self, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """An answer, piece by piece."""
        try:
            with self._ask("POST", "/v1/chat/completions", json.dumps(body)) as response:
                yield from _pieces(response)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise InputError(f"the answer broke off ({error}); ask again") from None

    def _ask(self, method: str, path: str, body: str | None = None) -> http.client.HTTPResponse:
        try:
            connection = self._kind(self._host, timeout=PATIENCE)
            connection.request(method, self._path + path, body, self._headers)
            response = connection.getresponse()
            if response.status == 200:
                return response
            with response:
                said = response.read(100_000)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"{self._url}: cannot be reached ({error}); is the server running?") from None
        raise InputError(_refusal(self._url, response.status, said))


def _pieces(events: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """The pieces of a stream of server-sent events; a stream that ends before its answer is an error."""
    for line in events:
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


def _refusal(url: str, status: int, body: bytes) -> str:
    """What a server said instead of an answer."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return f"{url}: answered with status {status}; check the address"


if __name__ == "__main__":
    run(main)
