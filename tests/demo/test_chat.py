import os
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT


def test_missing_model_is_reported_on_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo.chat", "--model", "nowhere", "--port", "0"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr == "error: nowhere: does not exist on this machine; check the path\n"
    assert not list(tmp_path.iterdir())
