import sys

import pytest

from core.errors import InputError, run


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


def test_other_errors_are_raised_after_the_line_has_ended(capsys):
    def main(arguments):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(main, lambda: print("ended", file=sys.stderr))
    assert capsys.readouterr().err == "ended\n"


def test_nothing_is_called_without_an_error(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])
    run(lambda arguments: None, lambda: pytest.fail("called"))
