"""Train a tokenizer on clean documents.

``spark-submit jobs/train_tokenizer.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from core.manifest import check_output
from pipeline.spark.session.builder import end_session, session
from pipeline.spark.tokenizer import train_tokenizer


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print the size and hash of the tokenizer."""
    description = "Train a tokenizer on clean documents."
    if not (config := from_command_line(description, arguments, check_output)):
        return
    manifest = train_tokenizer(session(config, "train_tokenizer"), config)
    size, sha256 = manifest.counts["vocabulary_size"], manifest.facts["sha256"]
    print(f"tokenizer: {size:,} tokens, SHA-256 {sha256[:12]}…")


if __name__ == "__main__":
    run(main, end_session)
