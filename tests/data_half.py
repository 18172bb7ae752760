"""A job for the tests: the three jobs of the data half in one process, which saves starting Java twice."""

from collections.abc import Sequence

from core.errors import run
from jobs import clean, pack, train_tokenizer


def main(arguments: Sequence[str]) -> None:
    for job in (clean, train_tokenizer, pack):
        job.main(arguments)


if __name__ == "__main__":
    run(main)
