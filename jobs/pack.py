"""Pack clean documents into token shards.

``spark-submit jobs/pack.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from core.manifest import Manifest, check_output
from core.shards import Facts
from pipeline.spark.pack import pack
from pipeline.spark.session.builder import end_session, session


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print the contents of the shards."""
    description = "Pack clean documents into token shards."
    if config := from_command_line(description, arguments, check_output):
        show(pack(session(config, "pack"), config))


def show(manifest: Manifest) -> None:
    """Print a line per split and source."""
    facts = Facts.model_validate(manifest.facts)
    for split, sources in facts.sources.items():
        for source, totals in sources.items():
            filled = totals.tokens / (totals.rows * (facts.sequence_length + 1))
            print(
                f"pack: {split}/{source}: {totals.documents:,} documents, {totals.tokens:,} tokens "
                f"in {totals.rows:,} rows, {filled:.1%} full"
            )


if __name__ == "__main__":
    run(main, end_session)
