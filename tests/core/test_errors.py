import subprocess
import sys

import pytest

from core.errors import InputError, run

PROGRAM = """
import sys
from core.errors import run

def main(arguments):
    {body}

run(main)
"""


def _piped(body, *, errors_too=False):
    """Run a program whose output nobody reads; return its exit code and what it wrote to stderr."""
    command = [sys.executable, "-c", PROGRAM.format(body=body)]
    stderr = subprocess.STDOUT if errors_too else subprocess.PIPE
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        process.stdout.close()
        return process.wait(60), process.stderr.read() if process.stderr else b""


def test_our_errors_are_one_line_and_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", "--option"])
    calls = []

    def main(arguments):
        calls.append(list(arguments))
        raise InputError("a.gz: nothing there; check the path")

    with pytest.raises(SystemExit) as caught:
        run(main, lambda: print("\n", end="", file=sys.stderr))
    assert caught.value.code == 1
    assert calls == [["--option"]]
    assert capsys.readouterr() == ("", "\nerror: a.gz: nothing there; check the path\n")


def test_credentials_in_addresses_are_not_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program"])

    def main(arguments):
        raise InputError(
            "https://user:pa55@host/a@b and 'ftp://t0ken@host', https://u:pa/ss@host, http://host:80, "
            "abfss://container@account/x: nothing there; check the path"
        )

    with pytest.raises(SystemExit):
        run(main)
    line = (
        "error: https://…@host/a@b and 'ftp://…@host', https://…@host, http://host:80, "
        "abfss://container@account/x: nothing there; check the path\n"
    )
    assert capsys.readouterr().err == line


def test_other_errors_are_raised_after_the_line_has_ended(capsys):
    def main(arguments):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(main, lambda: print("ended", file=sys.stderr))
    assert capsys.readouterr().err == "ended\n"


def test_nothing_is_called_without_an_error(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])
    run(lambda arguments: None, lambda: pytest.fail("called"))


@pytest.mark.parametrize(
    "body",
    ["print('x' * 100_000)", "print('x')", "print('x'); sys.exit(0)", "print('x', flush=True)"],
)
def test_closed_pipe_ends_the_program_quietly(body):
    assert _piped(body) == (141, b"")


def test_errors_to_a_closed_pipe_are_quiet(capfd):
    code, _ = _piped("from core.errors import InputError; print('x'); raise InputError('y')", errors_too=True)
    assert code in (1, 141)
    assert capfd.readouterr() == ("", "")


def test_other_broken_pipes_are_raised(capsys):
    def main(arguments):
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        run(main)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(13, "Permission denied", "/a/b"),
            "/a/b: Permission denied; check its owner and permissions",
        ),
        (
            OSError(28, "No space left on device"),
            "No space left on device; free space and run the command again",
        ),
    ],
)
def test_failures_of_the_machine_are_one_line(capsys, error, line):
    def main(arguments):
        raise error

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"error: {line}\n"


def test_an_interrupt_exits_as_in_a_shell(capsys):
    def main(arguments):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_characters_that_the_output_lacks_are_escaped():
    program = PROGRAM.format(body=r"print('caf\u00e9 \u2014 \ud800')")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={"PYTHONIOENCODING": "latin-1"}, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b"caf\xe9 \\u2014 \\ud800\n")


def test_input_that_is_not_text_is_read_with_replacement_characters():
    program = PROGRAM.format(body="print(ascii(input()))")
    done = subprocess.run([sys.executable, "-c", program], input=b"a\xff", capture_output=True, timeout=60)
    assert done.stdout == b"'a\\ufffd'\n"


@pytest.mark.parametrize("body", ["print('x')", "print('x'); sys.exit(0)"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_to_a_full_disk_is_one_line(body, unbuffered):
    with open("/dev/full", "w") as full:  # noqa: PTH123 (not a path)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(body=body)],
            stdout=full,
            stderr=subprocess.PIPE,
            env={"PYTHONUNBUFFERED": unbuffered},
            timeout=60,
        )
    line = b"error: No space left on device; free space and run the command again\n"
    assert (done.returncode, done.stderr) == (1, line)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_empty_or_discard_the_output(closed):
    program = PROGRAM.format(body="print(len(sys.stdin.read())); print('x', file=sys.stderr); sys.exit(3)")
    command = f'"$0" -c "$1" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stdout == (b"" if ">&-" in closed.replace("2>&-", "") else b"0\n")
    assert done.stderr == (b"" if "2>&-" in closed else b"x\n")
