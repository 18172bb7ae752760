"""Train a quantized fastText classifier on two corpora or labelled text, and evaluate it on held-out text.

``spark-submit jobs/train_classifier.py --config configs/quality.toml [--set a.b=c …] [--dry-run]``

Spark draws the sample of the corpora; fastText trains on one machine. With labelled sets only
(``configs/toxicity.toml``), no Spark session is started. Writes ``model.ftz``, ``quality.json``, ``card.md``
and ``manifest.json`` to ``OUT/classifier``.
"""

from collections.abc import Sequence

from core.config import Config, from_command_line
from pipeline.filters.classifier.evaluation import Evaluation
from pipeline.filters.classifier.stage import MODEL, STAGE, train_classifier
from pipeline.spark.corpora import corpora, validate
from pipeline.spark.session.failures import run_job


def main(arguments: Sequence[str]) -> None:
    """Run the plan; print the evaluation, and how to filter with the model."""
    description = "Train a fastText classifier on two corpora or labelled text."
    if config := from_command_line(description, arguments, validate):
        show(config, train_classifier(config, corpora(config)))


def show(config: Config, evaluation: Evaluation) -> None:
    """Print a line per part, and the threshold."""
    print(
        f"{'part':28}{'texts':>8}{'positive':>10}{'precision':>11}{'recall':>8}{'kept':>8}{'ROC-AUC':>9}"
        f"{'by length':>11}"
    )
    for name, part in evaluation.parts.items():
        print(
            f"{name:28}{part.texts:>8,}{part.positive:>10,}{part.precision:>11.3f}{part.recall:>8.3f}"
            f"{part.kept:>8.3f}{part.roc_auc:>9.3f}{part.length_roc_auc:>11.3f}"
        )
    if config.classifier.positive.paths:
        print(
            f"to keep the best {config.classifier.keep_share:.1%} of the negative corpus: "
            f"--set filters.quality_model={config.output.path}/{STAGE}/{MODEL} "
            f"--set 'filters.thresholds={{\"quality.score\" = {evaluation.threshold}}}'"
        )


if __name__ == "__main__":
    run_job(main)
