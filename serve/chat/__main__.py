"""``python -m serve.chat --model DIR`` or ``--server URL``: chat in the terminal.

``/reset`` starts a new conversation, ``/quit`` or the end of the input exits, Ctrl-C stops the current answer
only. Control characters in a model's output are shown as symbols, so that the terminal executes none.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from core.config import ArgumentParser
from core.errors import GristmillError, run
from serve.chat.client import Client
from serve.terminal import escape_controls

VARIABLE = "GRISTMILL_API_KEY"

NOTES = {
    "content_filter": "[ended by the server's safety filter]",
    "length": "[reached the maximum length]",
    "stopped": "[stopped]",
}

Message = dict[str, str]
"""Role and content."""
Generate = Callable[[Sequence[Message]], Iterator[tuple[str, str]]]
"""Yields the chunks of the answer to a conversation, each with its finish reason, empty before the last."""


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse(arguments)
    generate = _local_model(options) if options.model else _server_model(options)
    with suppress(ImportError):
        import readline  # noqa: F401 (gives input() line editing and a history)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    chat(generate, [_message("system", options.system)] if options.system else [])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = ArgumentParser(prog="python -m serve.chat", description="Chat in the terminal.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--model", metavar="DIR", help="model to load into this process; any that python -m serve accepts"
    )
    source.add_argument(
        "--server", metavar="URL", help=f"running server; {VARIABLE} holds its API key, if it requires one"
    )
    parser.add_argument("--system", default="", help="system prompt")
    parser.add_argument("--temperature", type=float, default=0.0, help="from 0 (greedy, the default) to 2")
    parser.add_argument("--tokens", type=int, default=512, help="largest number of tokens in an answer (512)")
    options = parser.parse_args(arguments)
    if not 0 <= options.temperature <= 2:
        parser.error(f"--temperature {options.temperature}: must be from 0 to 2")
    if options.tokens < 1:
        parser.error(f"--tokens {options.tokens}: must be at least 1")
    return options


def chat(generate: Generate, initial: Sequence[Message]) -> None:
    """Read questions and print answers until the input ends; ``initial`` starts each conversation."""
    prompt = "\n> " if sys.stdin.isatty() else ""
    messages = list(initial)
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
            messages = list(initial)
            print("(new conversation)")
        elif question:
            messages.append(_message("user", question))
            if answer := _print_answer(generate(messages)):
                messages.append(_message("assistant", answer))
            else:
                messages.pop()


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _print_answer(chunks: Iterator[tuple[str, str]]) -> str:
    """Print an answer as it arrives; return its text, incomplete if it was stopped or failed."""
    answer, finish_reason = "", ""
    try:
        for chunk, finish_reason in chunks:  # noqa: B007 (the last one is used)
            answer += chunk
            print(escape_controls(chunk), end="", flush=True)
    except KeyboardInterrupt:
        finish_reason = "stopped"
    except GristmillError as error:
        print("\n" * bool(answer) + escape_controls(f"error: {error}"), end="")
    note = NOTES.get(finish_reason, "")
    print(f"\n{note}" if note and answer else note)
    return answer


def _local_model(options: argparse.Namespace) -> Generate:
    """Load a model into this process."""
    from serve.chat.local import LocalModel  # imports PyTorch: slow, and not needed with a server

    return LocalModel(options.model, options.temperature, options.tokens).stream


def _server_model(options: argparse.Namespace) -> Generate:
    """Connect to a server. Raises :class:`core.errors.InputError` if there is none."""
    client = Client(options.server, os.environ.get(VARIABLE, ""))
    model = client.model()

    def generate(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
        settings = {"temperature": options.temperature, "max_tokens": options.tokens}
        return client.stream({"model": model, "messages": messages, "stream": True, **settings})

    return generate


if __name__ == "__main__":
    run(main)
