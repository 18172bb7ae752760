"""Clean documents and their tokenizer to token shards.

``spark-submit jobs/pack.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from core.shards import Facts
from pipeline.spark.pack import pack
from pipeline.spark.session.builder import session


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print what lies in the shards."""
    if not (config := from_command_line("Clean documents and a tokenizer to token shards.", arguments)):
        return
    facts = Facts.model_validate(pack(session(config, "pack"), config).facts)
    for split, sources in facts.sources.items():
        for source, found in sources.items():
            filled = found.tokens / (found.rows * (facts.sequence_length + 1))
            print(
                f"pack: {split}/{source}: {found.documents:,} documents, {found.tokens:,} tokens "
                f"in {found.rows:,} rows, {filled:.1%} full"
            )


if __name__ == "__main__":
    run(main)
