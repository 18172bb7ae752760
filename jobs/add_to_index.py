"""Add the documents that a finished run kept to a signature index, with which later crawls are compared.

``spark-submit jobs/add_to_index.py --set output.path=RUN --set dedup.index=INDEX``
"""

from collections.abc import Sequence

from core.config import from_command_line
from pipeline.spark.dedup.signature_index import add_run, validate
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print what the index holds."""
    if config := from_command_line("Add a finished run to a signature index.", arguments, validate):
        made = add_run(session(config, "add_to_index"), config)
        documents, runs = made.counts["documents"], len(made.facts["generations"])
        print(f"signature index: {documents:,} documents of {runs} runs in {config.dedup.index}")


if __name__ == "__main__":
    run_job(main)
