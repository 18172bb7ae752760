"""Clean documents to a tokenizer.

``spark-submit jobs/train_tokenizer.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from pipeline.spark.session.builder import session
from pipeline.spark.tokenizer import train_tokenizer


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print what was learned."""
    if not (config := from_command_line("Clean documents to a tokenizer.", arguments)):
        return
    found = train_tokenizer(session(config, "train_tokenizer"), config)
    print(f"tokenizer: {found.counts['vocabulary_size']:,} tokens, SHA-256 {found.facts['sha256'][:12]}…")


if __name__ == "__main__":
    run(main)
