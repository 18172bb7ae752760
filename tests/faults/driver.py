"""A process that runs one job after the other, so that a cell of the table does not wait for Java or torch.

``python -m tests.faults.driver spark|train`` reads a JSON object per line: ``job``, ``arguments``, and the
files ``out`` and ``err`` for the job's standard streams. It answers ``{"code": N}``, the exit code that the
job would have ended its process with. Spark's own log goes to the standard error of this process.

Spark jobs share a session until one fails, which ends it as it does under ``spark-submit``. The trainer runs
in a fork, as its process groups and exit belong to a process of their own.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable


def main(kind: str) -> None:
    """Serve until standard input ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print is no answer
    start = {"spark": _spark, "train": _train}[kind]()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in requests:
        request = json.loads(line)
        sys.argv = [request["job"], *request["arguments"]]
        code = _run(start, request["job"], request["out"], request["err"])
        print(json.dumps({"code": code}), file=answers, flush=True)


def _run(start: Callable[[str], None], job: str, out: str, err: str) -> int:
    """Run a job with its standard streams in files; return its exit code."""
    kept = [os.dup(stream) for stream in (1, 2)]
    for stream, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(file, stream)
        os.close(file)
    try:
        start(job)
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()  # as the interpreter does
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, stream)
            os.close(descriptor)


def _spark() -> Callable[[str], None]:
    from core.config import Config
    from pipeline.spark.session.builder import session
    from pipeline.spark.session.failures import run_job

    session(Config(), "faults").stop()  # starts Java, which keeps the standard error of this process

    def start(job: str) -> None:
        run_job(importlib.import_module(f"jobs.{job}").main)

    return start


def _train() -> Callable[[str], None]:
    import torch._dynamo
    import torch.utils.tensorboard  # noqa: F401 (imported before the forks)

    from train import __main__ as program

    def start(_: str) -> None:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                program.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    return start


if __name__ == "__main__":
    main(sys.argv[1])
