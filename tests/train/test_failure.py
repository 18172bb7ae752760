"""Errors of the programs that ``torchrun`` starts."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.train.folder import Folder
from tests.train.launch import run
from train import failure, parallel


@pytest.mark.distributed
@pytest.mark.parametrize("module", ["train", "train.finetune", "train.validate"])
@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("--set=train.nope=1", "error: train.nope: no such key; the nearest valid name is train."),
        ("--sett=1", "error: unrecognized arguments: --sett=1; write an override as --set "),
    ],
)
def test_torchrun_ends_its_report_with_the_error(module: str, argument: str, error: str) -> None:
    ended = run(2, argument, module=module)
    assert ended.returncode == 1
    *before, last, ruler = ended.stderr.splitlines()
    assert last.startswith(error) and ruler == "=" * 60
    assert not any("error: " in line and line.startswith("error") for line in before)
    assert ended.stdout == ""


CRASHING = """
from train import __main__, loop
learn = loop.Trainer._learn

def crash(trainer, gradients):
    if trainer.world.rank == 1 and trainer.step == 3:
        raise ValueError("unexpected")
    return learn(trainer, gradients)

loop.Trainer._learn = crash
if __name__ == "__main__":
    __main__.main()
"""


@pytest.mark.distributed
def test_unexpected_errors_end_all_processes(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while threads write a checkpoint and wait for the others, here that of step 2."""
    (tmp_path / "crashing.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = Folder(tmp_path, packed)
    ended = run(2, *folder.arguments, "--set=train.checkpoint_every=2", module="crashing")
    assert ended.returncode == 1
    assert ended.stderr.count("ValueError: unexpected") == 1
    assert "Connection closed by peer" not in ended.stderr


def test_error_goes_to_the_report_of_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    assert failure.report("error: wrong") == 1
    assert json.loads(file.read_text())["message"] == "\nerror: wrong"
    assert capsys.readouterr().err == ""


def test_error_is_printed_without_torchrun_and_before_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    assert failure.report("error: alone") == 1
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    assert failure.report("error: again") == 1
    assert capsys.readouterr().err == "error: alone\nerror: again\n"
    assert not list(tmp_path.iterdir())


def test_one_process_on_each_host_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    assert failure.stopped() == 0
    assert not file.exists()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert failure.stopped() == 1
    assert json.loads(file.read_text())["message"] == "\nstopped: another process failed"


def test_output_is_discarded_once_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as stream:  # noqa: PTH123 (a file descriptor)
        output = failure.TolerantOutput(stream)
        monkeypatch.setattr(sys, "stdout", output)
        print("first", flush=True)
        assert os.read(reading, 100) == b"first\n"
        os.close(reading)
        for _ in range(3):
            print("x" * 100_000, flush=True)


def test_output_that_cannot_be_written_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as stream:  # noqa: PTH123 (not a path)
        monkeypatch.setattr(sys, "stdout", failure.TolerantOutput(stream))
        print("x", flush=True)
        print("y", flush=True)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(28, "No space left on device"), 1, "error: No space left on device; free space and run the"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failures_of_the_machine_and_interrupts_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def parse() -> None:
        raise error

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(sys, "stdout", sys.stdout)  # restored afterwards
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit) as caught:
        parallel.run(parse, lambda task, world: None)
    assert caught.value.code == code
    reported = capsys.readouterr().err
    assert reported.startswith(line) and reported.count("\n") == 1
