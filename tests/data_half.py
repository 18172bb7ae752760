"""A job for tests: the jobs of the data half in one process, which saves starts of Java."""

from collections.abc import Sequence

from core.config import load
from core.errors import run
from jobs import add_to_index, clean, dedup, pack, train_tokenizer


def main(arguments: Sequence[str]) -> None:
    """Run the jobs with ``--config FILE``, then compare the documents with a signature index of themselves.

    The index is in ``output.path.index``, the comparison in ``output.path.again``.
    """
    for job in (clean, train_tokenizer, pack):
        job.main(arguments)
    out = load(arguments[1], []).output.path
    index = ["--set", f"dedup.index={out}.index"]
    add_to_index.main([*arguments, *index])
    again = ["--set", f"input.paths=['{out}/documents']", "--set", f"output.path={out}.again"]
    dedup.main([*arguments, *again, *index])


if __name__ == "__main__":
    run(main)
