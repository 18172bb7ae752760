"""The Slurm script, run by bash, with srun and scontrol simulated by scripts."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docker.dockerfile import ROOT
from tests.servers.process import free_port
from tests.train.folder import STEPS, Folder
from tests.train.launch import environment
from tests.train.shard_maker import small_run

SCRIPT = ROOT / "deploy/slurm/train.sbatch"
# The step runs on every node; here all nodes are this machine.
SRUN = """#!/bin/bash
shift  # its own option
trap 'kill $(jobs -p)' TERM
for node in $(seq "$SLURM_JOB_NUM_NODES"); do "$@" & done
status=0
for step in $(jobs -p); do wait "$step" || status=$?; done
exit $status
"""
# Requeueing ends the job: its steps, then its script.
SCONTROL = """#!/bin/bash
case $1 in
show) printf '%s\\n' localhost other ;;
requeue) echo "$2" >> "$REQUEUED"; pkill -TERM -P "$PPID" srun; kill -TERM "$PPID" ;;
esac
"""


def _tools(folder: Path) -> Path:
    folder.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(stat.S_IRWXU)
    (folder / "torchrun").symlink_to(Path(sys.executable).with_name("torchrun"))
    return folder


@pytest.mark.distributed
@pytest.mark.skipif(not shutil.which("bash"), reason="the script is for bash")
def test_training_on_two_nodes_resumes_after_a_requeue(tmp_path: Path) -> None:
    small_run(str(tmp_path / "source"))
    folder = Folder(tmp_path, tmp_path / "source")
    requeued = tmp_path / "requeued"
    variables = {
        "PATH": f"{_tools(tmp_path / 'bin')}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "1",
        "GRISTMILL_PORT": str(free_port()),
        "PYTHONPATH": str(ROOT),
        "REQUEUED": str(requeued),
    }
    command = ["bash", str(SCRIPT), *folder.arguments]
    settings = {"cwd": tmp_path, "env": environment() | variables, "stderr": subprocess.STDOUT}

    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **settings) as first:
        deadline = time.monotonic() + 120
        while not folder.metrics_file.exists() or folder.metrics_file.read_bytes().count(b"\n") < 5:
            assert first.poll() is None and time.monotonic() < deadline, first.stdout.read()
            time.sleep(0.002)
        first.send_signal(signal.SIGUSR1)
        first.communicate(timeout=60)
    assert requeued.read_text() == "42\n"
    assert not (folder.training / "manifest.json").exists()

    second = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, **settings)
    assert second.returncode == 0, second.stdout
    assert "train: resuming after step" in second.stdout
    assert len(folder.metrics("train/")) == STEPS
    assert (folder.training / "manifest.json").exists()


def test_exit_code_is_that_of_the_training(tmp_path: Path) -> None:
    tools = _tools(tmp_path / "bin")
    (tools / "srun").write_text("#!/bin/bash\nexit 7\n")
    variables = {"PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "n"}
    done = subprocess.run(["bash", str(SCRIPT)], env=variables | {"SLURM_JOB_NUM_NODES": "1"}, timeout=30)
    assert done.returncode == 7
