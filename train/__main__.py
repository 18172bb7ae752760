"""``torchrun --standalone --nproc-per-node=N -m train --config FILE.toml``: pre-train a model."""

import sys

from core.config import Config, from_command_line
from train import parallel, training_run
from train.loop import train
from train.reporting import loggers


def main() -> None:
    """Run the command line."""
    description = "Train a model on token shards; resumes from the last checkpoint."
    parallel.run(lambda: from_command_line(description, sys.argv[1:], validate), train)


def validate(config: Config) -> None:
    """Raise an error for settings that pre-training would reject."""
    loggers.check(training_run.STAGE, config.train.loggers)
    training_run.validate(config)


if __name__ == "__main__":
    main()
