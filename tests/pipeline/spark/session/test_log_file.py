import errno
import re
import sys

import pytest
from pyspark.sql import SparkSession

from core.errors import OutputError
from pipeline.spark.session import log_file
from pipeline.spark.session.builder import end_session

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


def test_a_file_that_can_no_longer_be_written_is_one_warning(tmp_path, capsys, monkeypatch):
    path = log_file.open_log(str(tmp_path / "run.log"))
    print("first")
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(log_file, "_append", lambda *_: (_ for _ in ()).throw(full))
        print("second")
        print("third", file=sys.stderr)
    print("fourth")
    warning = f"warning: output.log_file = {path}: No space left on device; nothing more is logged\n"
    assert capsys.readouterr() == ("first\nsecond\nfourth\n", f"{warning}third\n")
    assert re.fullmatch(f"{TIME} first\n", (tmp_path / "run.log").read_text())


def test_the_end_of_the_session_restores_the_streams(tmp_path, monkeypatch):
    monkeypatch.setattr(SparkSession, "_instantiatedSession", None)
    before = sys.stdout, sys.stderr
    log_file.open_log(str(tmp_path / "run.log"))
    try:
        raise OutputError("x")
    except OutputError:
        end_session()
        print("error: x", file=sys.stderr)
    assert (tmp_path / "run.log").read_text().endswith(" error: x\n")
    assert (sys.stdout, sys.stderr) != before
    end_session()
    assert (sys.stdout, sys.stderr) == before
