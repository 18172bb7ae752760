"""The configurations in ``configs/``, one per preset."""

import json
from pathlib import Path

import pytest

from core import config
from jobs import clean
from pipeline.filters import recipe, resolved

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize("name", [name for name in recipe.preset_names() if name != "none"])
def test_every_preset_has_a_valid_configuration(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crawl = tmp_path / "a.warc.gz"
    crawl.touch()
    overrides = ["output.path=out", f'input.paths=["{crawl}"]', 'filters.thresholds."quality.score"=0']
    arguments = [part for override in overrides for part in ("--set", override)]
    clean.main(["--config", str(CONFIGS / f"{name}.toml"), *arguments, "--dry-run"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["filters"]["preset"] == name and printed["input"]["paths"] == [str(crawl)]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_configurations_name_existing_conditions(path: Path) -> None:
    filters = config.load(str(path), ['filters.thresholds."quality.score"=0']).filters
    assert set(resolved(filters)) == {"mask_pii", "thresholds", "thresholds_by_language", "files"}


def test_thresholds_by_language_are_resolved() -> None:
    by_language = resolved(config.FiltersConfig(preset="multilingual"))["thresholds_by_language"]
    assert by_language["gopher.long_words"]["de"] == 15 and len(by_language) == 16
    assert resolved(config.FiltersConfig())["thresholds_by_language"] == {}
