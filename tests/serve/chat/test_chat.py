"""The terminal chat as a child process, with a server and with a local model."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import InputError
from serve.chat.__main__ import main
from serve.chat.client import Client
from serve.chat.local import LocalModel
from serve.terminal import escape_controls
from tests.commands import ROOT
from tests.serve.scripted_server import ScriptedServer, scripted_server

pytestmark = pytest.mark.server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server("") as running:
        yield running


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "serve.chat", *arguments]


def chat(*arguments: str, typed: str, key: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GRISTMILL_API_KEY": key, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def contents(request: dict[str, list[dict[str, str]]]) -> list[str]:
    return [message["content"] for message in request["messages"]]


def test_conversation_is_continued_reset_and_quit(server: ScriptedServer) -> None:
    for answer in ("One.", "Two.", "Three."):
        server.add_answer(*answer)
    done = chat("--server", server.url, "--system", "Be brief.", typed="a\n\nb\n/reset\nc\n/quit\nd\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "One.\nTwo.\n(new conversation)\nThree.\n"
    assert [contents(request) for request in server.requests] == [
        ["Be brief.", "a"],
        ["Be brief.", "a", "One.", "b"],
        ["Be brief.", "c"],
    ]
    assert server.requests[0]["model"] == "scripted"


def test_errors_are_printed_and_their_questions_are_forgotten(server: ScriptedServer) -> None:
    server.add_answer(status=429)
    server.add_answer("Half", error="the engine broke")
    server.add_answer("Whole.", finish="length")
    done = chat("--server", f"{server.url}/v1", typed="a\nb\nc\n")
    assert done.stdout.splitlines() == [
        "error: scripted error",
        "Half",
        "error: the engine broke",
        "Whole.",
        "[reached the maximum length]",
    ]
    assert contents(server.requests[1]) == ["b"]


def test_base_model_is_refused(server: ScriptedServer) -> None:
    server.can_chat = False
    done = chat("--server", server.url, typed="a\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: scripted: a base model, which has no chat template")


def test_api_key_is_sent(server: ScriptedServer) -> None:
    server.key = "secret"
    server.add_answer("Open.")
    assert chat("--server", server.url, typed="a\n", key="secret").stdout == "Open.\n"
    rejected = chat("--server", server.url, typed="a\n")
    assert (rejected.returncode, rejected.stderr) == (1, "error: invalid key\n")


def test_control_sequences_are_shown_as_symbols(server: ScriptedServer) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b1A\r\x08over\x7f \u202etxt.exe \x00 a\tb\n"
    server.add_answer(*hostile)
    server.add_answer(status=500, code="\x1b[31m")
    done = chat("--server", server.url, typed="a\n")
    shown = done.stdout
    assert not [character for character in shown if ord(character) < 32 and character not in "\n\t"]
    assert not set(shown) & {"\x7f", "\x9b", "\u202e"}
    assert "␛]0;title␇␛[2J␛[31mred\ufffd1A␍␈over␡ \ufffdtxt.exe ␀ a\tb\n" in shown


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200F, 0xD800])
def test_control_characters_are_escaped(code: int) -> None:
    shown = escape_controls(chr(code))
    assert shown == chr(code) if code in (9, 10) else shown != chr(code) and shown.isprintable()


def test_other_text_is_unchanged() -> None:
    text = "Grüße, 世界! 👩‍👩‍👧 नमस्ते\n\tשלום"
    assert escape_controls(text) == text


def test_interrupt_stops_the_answer_only(server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three", held=2)
    server.add_answer("Hello.")
    process = subprocess.Popen(
        command("--server", server.url), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin and isinstance(process.stdout, io.BufferedReader)
    process.stdin.write(b"count\n")
    process.stdin.flush()
    shown = b""
    while b"two " not in shown:
        shown += process.stdout.read1()
    process.send_signal(signal.SIGINT)
    while b"[stopped]\n" not in shown:
        shown += process.stdout.read1()
    rest, _ = process.communicate(b"greet\n", timeout=60)
    assert rest == b"Hello.\n" and process.returncode == 0
    assert contents(server.requests[1]) == ["count", "one two ", "greet"]


class Terminal:
    """The chat in a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        environment = os.environ | {"TERM": "xterm"}
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self._unread = b""

    def wait_for(self, expected: bytes) -> None:
        """Read until ``expected`` is shown."""
        while not self.shows(expected, 60):
            pass
        self._unread = self._unread.partition(expected)[2]

    def shows(self, expected: bytes, seconds: float) -> bool:
        """Return False if no output arrives for so many seconds before ``expected`` is shown."""
        while expected not in self._unread:
            if not select.select([self._master], [], [], seconds)[0]:
                return False
            self._unread += os.read(self._master, 1000)
        return True

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.mark.timeout(300)
def test_arrow_key_recalls_a_line_and_interrupt_at_the_prompt_does_not_exit(
    server: ScriptedServer,
) -> None:
    server.add_answer("One.")
    server.add_answer("Two.")
    with closing(Terminal("--server", server.url)) as terminal:
        terminal.wait_for(b"> ")
        terminal.press(b"What is it?\r")
        terminal.wait_for(b"One.")
        terminal.wait_for(b"> ")
        terminal.process.send_signal(signal.SIGINT)
        while not terminal.shows(b"/quit to leave", 1):  # Python may lose it while it draws the prompt
            terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for(b"/quit to leave")
        terminal.wait_for(b"> ")
        terminal.press(b"\x1b[A\r")
        terminal.wait_for(b"Two.")
        terminal.wait_for(b"> ")
        terminal.press(b"\x04")
        assert terminal.process.wait(60) == 0
    assert contents(server.requests[1])[-1] == "What is it?"


def test_local_model_answers(tiny_model: Path) -> None:
    arguments = ("--model", str(tiny_model), "--temperature", "0", "--tokens", "20")
    done = chat(*arguments, typed="Hello\n/reset\nHello\nAgain\n")
    assert (done.returncode, done.stderr) == (0, "")
    note = "[reached the maximum length]"
    first, first_note, _, second, second_note, third, third_note = done.stdout.splitlines()
    assert first == second != third and len(first) == 20
    assert {first_note, second_note, third_note} == {note}


def test_too_long_conversation_is_rejected(tiny_model: Path) -> None:
    model = LocalModel(str(tiny_model), 0.0, 5)
    with pytest.raises(
        InputError, match="tokens, but the model's context is 3000; start a new one with /reset"
    ):
        next(model.stream([{"role": "user", "content": "word " * 1000}]))


def test_invalid_sources_are_one_line(tmp_path: Path, server: ScriptedServer) -> None:
    for arguments, message in (
        (("--server", "ftp://x"), "not the URL of a server"),
        (("--server", "http://127.0.0.1:1"), "cannot be reached"),
        (("--server", f"{server.url}/elsewhere"), "check the address"),
    ):
        done = chat(*arguments, typed="a\n")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and message in done.stderr
    with pytest.raises(InputError, match="none"):
        main(["--model", str(tmp_path / "none")])


def test_other_apis_and_invalid_options_are_rejected(server: ScriptedServer) -> None:
    with pytest.raises(InputError, match="check the address"):
        Client(f"{server.url}/static/mill.svg?").model()
    for options in (("--temperature", "3"), ("--tokens", "0"), ()):
        source = ("--server", server.url) if options else ()
        done = chat(*source, *options, typed="")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ") and done.stderr.endswith("; see --help\n")
