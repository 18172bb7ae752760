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

SHOWN = 10
"""Languages that are printed for each source."""


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print the contents of the shards."""
    description = "Pack clean documents into token shards."
    if config := from_command_line(description, arguments, check_output):
        show(pack(session(config, "pack"), config))


def show(manifest: Manifest) -> None:
    """Print what became of all tokens: a line per split and source, and one for its languages."""
    facts = Facts.model_validate(manifest.facts)
    for split, sources in facts.sources.items():
        for source, totals in sources.items():
            positions = totals.rows * (facts.sequence_length + 1)
            languages = facts.languages[split][source]
            cropped = sum(each.cropped for each in languages.values())
            print(
                f"pack: {split}/{source}: {totals.documents:,} documents, {totals.tokens + cropped:,} tokens "
                f"= {totals.tokens:,} in shards + {cropped:,} cropped; {totals.rows:,} rows, {positions:,} "
                f"positions = {totals.tokens:,} tokens + {positions - totals.tokens:,} of padding "
                f"({totals.tokens / positions:.1%} full)"
            )
            largest = sorted(languages.items(), key=lambda each: (-each[1].encoded, each[0]))
            listed = ", ".join(f"{code} {counts.encoded:,}" for code, counts in largest[:SHOWN])
            print(f"      tokens by language: {listed}{', …' * (len(largest) > SHOWN)}")


if __name__ == "__main__":
    run(main, end_session)
