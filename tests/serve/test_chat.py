"""The chat in the terminal, as a process of its own: with a server's answers, and with a model in it."""

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
from serve.chat import Server, harmless, main
from serve.local import Model
from tests.commands import ROOT
from tests.serve.prepared import Prepared, prepared_server

pytestmark = pytest.mark.server


@pytest.fixture
def server() -> Iterator[Prepared]:
    with prepared_server("") as running:
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
    return [turn["content"] for turn in request["messages"]]


def test_a_conversation_is_carried_on_begun_anew_and_left(server: Prepared) -> None:
    for answer in ("One.", "Two.", "Three."):
        server.will_say(*answer)
    done = chat("--server", server.url, "--system", "Be brief.", typed="a\n\nb\n/reset\nc\n/quit\nd\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "One.\nTwo.\n(a new conversation)\nThree.\n"
    assert [contents(request) for request in server.requests] == [
        ["Be brief.", "a"],
        ["Be brief.", "a", "One.", "b"],
        ["Be brief.", "c"],
    ]
    assert server.requests[0]["model"] == "prepared"


def test_a_refusal_is_told_and_the_question_forgotten(server: Prepared) -> None:
    server.will_say(status=429)
    server.will_say("Half", error="the engine broke")
    server.will_say("Whole.", finish="length")
    done = chat("--server", f"{server.url}/v1", typed="a\nb\nc\n")
    assert done.stdout.splitlines() == [
        "error: refused as prepared",
        "Half",
        "error: the engine broke",
        "Whole.",
        "[the answer reached its greatest length]",
    ]
    assert contents(server.requests[1]) == ["b"]


def test_a_key_is_sent(server: Prepared) -> None:
    server.key = "secret"
    server.will_say("Open.")
    assert chat("--server", server.url, typed="a\n", key="secret").stdout == "Open.\n"
    refused = chat("--server", server.url, typed="a\n")
    assert (refused.returncode, refused.stderr) == (1, "error: no valid key\n")


def test_commands_to_the_terminal_are_shown_and_not_given(server: Prepared) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b1A\r\x08over\x7f \u202etxt.exe \x00 a\tb\n"
    server.will_say(*hostile)
    server.will_say(status=500, code="\x1b[31m")
    done = chat("--server", server.url, typed="a\n")
    shown = done.stdout
    assert not [sign for sign in shown if ord(sign) < 32 and sign not in "\n\t"]
    assert not set(shown) & {"\x7f", "\x9b", "\u202e"}
    assert "␛]0;title␇␛[2J␛[31mred\ufffd1A␍␈over␡ \ufffdtxt.exe ␀ a\tb\n" in shown


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200F, 0xD800])
def test_no_control_character_is_shown(code: int) -> None:
    shown = harmless(chr(code))
    assert shown == chr(code) if code in (9, 10) else shown != chr(code) and shown.isprintable()


def test_text_is_shown_as_it_is() -> None:
    text = "Grüße, 世界! 👩‍👩‍👧 नमस्ते\n\tשלום"
    assert harmless(text) == text


def test_an_interrupt_stops_an_answer_and_not_the_chat(server: Prepared) -> None:
    server.will_say("one ", "two ", "three", held=2)
    server.will_say("Hello.")
    process = subprocess.Popen(
        command("--server", server.url), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin and process.stdout
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
    """The chat on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._keys, its = pty.openpty()
        environment = os.environ | {"TERM": "xterm"}
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            stdin=its,
            stdout=its,
            stderr=its,
            env=environment,
            start_new_session=True,
        )
        os.close(its)
        self._unread = b""

    def wait_for(self, wanted: bytes) -> None:
        """Read on until it is shown."""
        while not self.shows(wanted, 60):
            pass
        self._unread = self._unread.partition(wanted)[2]

    def shows(self, wanted: bytes, seconds: float) -> bool:
        """Whether it is shown before nothing has come for so long."""
        while wanted not in self._unread:
            if not select.select([self._keys], [], [], seconds)[0]:
                return False
            self._unread += os.read(self._keys, 1000)
        return True

    def press(self, keys: bytes) -> None:
        os.write(self._keys, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._keys)


@pytest.mark.timeout(60)
def test_lines_come_back_by_the_arrow_key_and_an_interrupt_at_the_prompt_does_nothing(
    server: Prepared,
) -> None:
    server.will_say("One.")
    server.will_say("Two.")
    with closing(Terminal("--server", server.url)) as terminal:
        terminal.wait_for(b"> ")
        terminal.press(b"What is it?\r")
        terminal.wait_for(b"One.")
        terminal.wait_for(b"> ")
        terminal.process.send_signal(signal.SIGINT)
        while not terminal.shows(b"/quit to leave", 1):  # Python may miss it while it draws the prompt
            terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for(b"/quit to leave")
        terminal.wait_for(b"> ")
        terminal.press(b"\x1b[A\r")
        terminal.wait_for(b"Two.")
        terminal.wait_for(b"> ")
        terminal.press(b"\x04")
        assert terminal.process.wait(20) == 0
    assert contents(server.requests[1])[-1] == "What is it?"


def test_a_model_answers_in_this_very_process(tiny_model: Path) -> None:
    arguments = ("--model", str(tiny_model), "--temperature", "0", "--tokens", "20")
    done = chat(*arguments, typed="Hello\n/reset\nHello\nAgain\n")
    assert (done.returncode, done.stderr) == (0, "")
    note = "[the answer reached its greatest length]"
    one, end, _, same, also, other, last = done.stdout.splitlines()
    assert one == same != other and len(one) == 20
    assert {end, also, last} == {note}


def test_a_conversation_that_is_too_long_is_refused_before_it_is_read(tiny_model: Path) -> None:
    model = Model(str(tiny_model), 0.0, 5)
    with pytest.raises(InputError, match=r"tokens, the model reads 3000; begin anew \(/reset\)"):
        next(model.answer([{"role": "user", "content": "word " * 1000}]))


def test_bad_input_is_one_line(tmp_path: Path, server: Prepared) -> None:
    for arguments, said in (
        (("--server", "ftp://x"), "no address of a server"),
        (("--server", "http://127.0.0.1:1"), "cannot be reached"),
        (("--server", f"{server.url}/elsewhere"), "check the address"),
    ):
        done = chat(*arguments, typed="a\n")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and said in done.stderr
    with pytest.raises(InputError, match="none"):
        main(["--model", str(tmp_path / "none")])


def test_what_is_no_api_is_refused(server: Prepared) -> None:
    with pytest.raises(InputError, match="check the address"):
        Server(f"{server.url}/static/mill.svg?").model()
    for options in (("--temperature", "3"), ("--tokens", "0"), ()):
        source = ("--server", server.url) if options else ()
        assert chat(*source, *options, typed="").returncode == 2
