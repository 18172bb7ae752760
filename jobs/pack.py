"""Pack clean documents into token shards.

``spark-submit jobs/pack.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.manifest import Manifest
from core.shards import Facts
from core.stage import check_output
from pipeline.spark.pack import pack
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job

SHOWN = 10
"""Languages that are printed for each source."""


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print the contents of the shards."""
    description = "Pack clean documents into token shards."
    if config := from_command_line(description, arguments, check_output):
        show(pack(session(config, "pack"), config))


def show(manifest: Manifest) -> None:
    """Print the token ledger: a line per split and source, and one with its languages."""
    facts = Facts.model_validate(manifest.facts)
    for split, sources in facts.sources.items():
        for source, totals in sources.items():
            positions = totals.rows * (facts.sequence_length + 1)
            counts = facts.token_counts(split, source)
            print(
                f"pack: {split}/{source}: {counts.documents:,} documents, {counts.encoded:,} tokens "
                f"= {totals.tokens:,} in shards + {counts.cropped:,} cropped; {totals.rows:,} rows, "
                f"{positions:,} positions = {totals.tokens:,} tokens + {positions - totals.tokens:,} of "
                f"padding ({totals.tokens / positions:.1%} full)"
            )
            largest = sorted(
                facts.languages[split][source].items(), key=lambda each: (-each[1].encoded, each[0])
            )
            listed = ", ".join(f"{code} {counts.encoded:,}" for code, counts in largest[:SHOWN])
            print(f"      tokens by language: {listed}{', …' * (len(largest) > SHOWN)}")


if __name__ == "__main__":
    run_job(main)
