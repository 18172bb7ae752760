"""``torchrun --standalone --nproc-per-node=N -m train --config FILE.toml``: pre-train a model."""

import sys

from core.config import from_command_line
from train import parallel
from train.loop import train
from train.training_run import validate


def main() -> None:
    """Run the command line."""
    description = "Train a model on token shards; resumes from the last checkpoint."
    parallel.run(lambda: from_command_line(description, sys.argv[1:], validate), train)


if __name__ == "__main__":
    main()
