"""Running stages: output, failures, and killed parents."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo import stages
from demo.stages import Stage, StageError


def test_stage_reports_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage("Make it", f"python -c \"open('{tmp_path}/it', 'w')\"", "it")
    stages.run(stage, tmp_path, os.environ, 1)
    assert "Make it" in (said := capsys.readouterr().out)
    assert "  done (" in said


def test_finished_stage_is_reported_as_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "it").touch()
    stages.run(Stage("Make it", "python -c pass", "it"), tmp_path, os.environ, 1)
    assert "already done" in capsys.readouterr().out


def test_failing_stage_raises(tmp_path: Path) -> None:
    stage = Stage("Make it", "python -c 'raise SystemExit(3)'", "it")
    with pytest.raises(StageError, match="exit code 3"):
        stages.run(stage, tmp_path, os.environ, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_stage_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    command = f"python -c \"import os,time; open('{child}','w').write(str(os.getpid())); time.sleep(60)\""
    code = f"import os; from demo import stages; stages.execute({command!r}, os.environ)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    assert _becomes_true(lambda: child.exists() and child.read_text() != "")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert _becomes_true(lambda: not _runs(int(child.read_text())))


def _becomes_true(condition: object) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + 30
    while not (found := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _runs(process: int) -> bool:
    """True if a process is alive; a zombie is not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
