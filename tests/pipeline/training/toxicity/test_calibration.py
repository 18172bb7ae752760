from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.resources import read_text
from pipeline.filters.toxicity import calibration as shipped
from pipeline.training.toxicity import __main__ as command
from pipeline.training.toxicity.calibration import EvaluationSet, fit_calibration, fit_logistic


def test_logistic_regression_finds_the_coefficients() -> None:
    generator = np.random.default_rng(1)
    design = np.column_stack([generator.normal(size=50_000), np.ones(50_000)])
    toxic = generator.random(50_000) < 1 / (1 + np.exp(-design @ [1.5, -0.5]))
    found = fit_logistic(design, toxic, np.ones(50_000))
    assert found == pytest.approx([1.5, -0.5], abs=0.05)


def test_sets_have_equal_weight_in_the_calibration() -> None:
    generator = np.random.default_rng(2)

    def part(texts: int) -> EvaluationSet:
        toxic = generator.random(texts) < 0.5
        rows = [generator.normal(3.0 if each else -3.0, 6.0, (1, 3)) for each in toxic]
        return EvaluationSet("", toxic, rows)

    small, large = part(2_000), part(20_000)
    doubled = EvaluationSet("", np.tile(large.toxic, 2), large.evidence * 2)
    found = fit_calibration([small, large])
    assert found == fit_calibration([small, doubled])
    assert found.slope > 0 and found.word_weight > 0
    assert found.intercept == pytest.approx(np.log(0.5), abs=0.1)


def test_shipped_calibration_is_the_file() -> None:
    text = read_text("pipeline.filters.toxicity", shipped.FILE)
    assert shipped.load().to_json() == text


def test_probability_is_the_mean_over_passages() -> None:
    calibration = shipped.Calibration(1.0, 0.5, 0.0)
    assert calibration.probability(np.zeros((0, 3))) == 0
    assert calibration.probability(np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]])) == pytest.approx(0.75)


def test_missing_data_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no folder toxicity; DATA must have"):
        command.main(["weights", str(tmp_path), "--to", str(tmp_path / "weights.txt")])
