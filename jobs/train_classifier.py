"""Labelled text to a quantized fastText classifier, measured on what it did not see.

``spark-submit jobs/train_classifier.py --config configs/toxicity.toml [--set a.b=c …] [--dry-run]``

fastText trains on one machine, so no Spark session is started and plain ``python`` runs it as well. Writes
``model.ftz``, ``quality.json`` and ``manifest.json`` to ``OUT/classifier``.
"""

from collections.abc import Sequence

from pipeline.config import from_command_line
from pipeline.errors import run
from pipeline.filters.training import learn


def main(arguments: Sequence[str]) -> None:
    """Train, measure and publish; print a line per set."""
    if not (config := from_command_line("Labelled text to a fastText classifier.", arguments)):
        return
    print(f"{'set':24}{'texts':>8}{'positive':>10}{'precision':>11}{'recall':>8}{'ROC-AUC':>9}")
    for name, quality in learn(config).items():
        print(
            f"{name:24}{quality.texts:>8,}{quality.positive:>10,}{quality.precision:>11.3f}"
            f"{quality.recall:>8.3f}{quality.roc_auc:>9.3f}"
        )


if __name__ == "__main__":
    run(main)
