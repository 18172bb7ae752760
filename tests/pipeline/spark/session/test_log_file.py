import re
import sys

import pytest

from core.errors import OutputError
from pipeline.spark.session import log_file

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture(autouse=True)
def _streams(monkeypatch):
    """Restore the streams that a log replaces."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)


def test_printed_lines_are_also_in_the_file(tmp_path, capsys):
    path = log_file.open_log(str(tmp_path / "logs" / "run.log"))
    print("one line")
    print("part", end="")
    print("s", "\ntwo ü", file=sys.stdout)
    print("warning: x", file=sys.stderr)
    print("without an end", end="")
    assert capsys.readouterr() == ("one line\nparts \ntwo ü\nwithout an end", "warning: x\n")
    lines = (tmp_path / "logs" / "run.log").read_text(encoding="utf-8").splitlines()
    assert [re.sub(f"^{TIME} ", "", line) for line in lines] == ["one line", "parts ", "two ü", "warning: x"]
    assert path == str(tmp_path / "logs" / "run.log")


def test_a_second_session_does_not_write_lines_twice(tmp_path, capsys):
    for name in ("a.log", "b.log"):
        log_file.open_log(str(tmp_path / name))
    print("x")
    assert capsys.readouterr().out == "x\n"
    assert (tmp_path / "a.log").read_text() == ""
    assert re.fullmatch(f"{TIME} x\n", (tmp_path / "b.log").read_text())


def test_lines_are_appended(tmp_path):
    for line in ("first", "\udcff second"):  # a byte of a file's name that is not UTF-8
        log_file.append(str(tmp_path / "run.log"), line)
    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert re.fullmatch(rf"{TIME} first\n{TIME} \\udcff second\n", text)


def test_the_stream_stays_what_it_was(tmp_path):
    log_file.open_log(str(tmp_path / "run.log"))
    stream = sys.stdout
    assert isinstance(stream, log_file.Tee)
    assert stream.writable() and not stream.isatty()
    assert stream.encoding == stream.stream.encoding


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"^output\.log_file = .*: Is a directory; name a file that can be"):
        log_file.open_log(str(tmp_path))
