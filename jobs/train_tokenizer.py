"""Train a tokenizer on clean documents, or publish an existing one for them.

``spark-submit jobs/train_tokenizer.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

import sys
from collections.abc import Sequence

from core import storage
from core.config import Config, from_command_line
from core.stage import check_output
from core.tokenizer import STAGE, read_existing
from pipeline.reports.tokenizer import read_report, summary, warnings
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job
from pipeline.spark.tokenizer import train_tokenizer


def check(config: Config) -> None:
    """Raise an error for settings that the run would reject. Remote tokenizers are not read."""
    check_output(config)
    for path in (config.tokenizer.path, config.tokenizer.compare):
        if path and storage.is_local(path):
            read_existing(path)


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print the size and hash of the tokenizer, and its report."""
    description = "Train a tokenizer on clean documents, or publish an existing one for them."
    if not (config := from_command_line(description, arguments, check)):
        return
    manifest = train_tokenizer(session(config, "train_tokenizer"), config)
    size, sha256 = manifest.counts["vocabulary_size"], manifest.facts["sha256"]
    print(f"tokenizer: {size:,} tokens, SHA-256 {sha256[:12]}…")
    report = read_report(storage.join(config.output.path, STAGE))
    for line in summary(report):
        print(line)
    for warning in warnings(report):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_job(main)
