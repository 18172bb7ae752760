"""Settings that ``clean`` and ``dedup`` refuse before they start Spark or write anything."""

import pytest

from core.config import Config, load
from core.errors import ConfigError
from pipeline.spark import clean
from pipeline.spark.dedup import stage as dedup


@pytest.fixture
def configured(tmp_path):
    """Make a configuration with an input file and a new output folder."""
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')

    def make(*settings: str) -> Config:
        paths = (f'input.paths=["{tmp_path}/a.jsonl"]', f"output.path={tmp_path}/out")
        return load(None, [*paths, *settings])

    return make


@pytest.mark.parametrize("validate", [clean.validate, dedup.validate])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["dedup.bands=5"], r"^dedup\.bands = 5, dedup\.rows = 0: set both"),
        (["dedup.index=I", "dedup.verify=false"], r"^dedup\.verify = false: with dedup\.index = I"),
    ],
)
def test_invalid_deduplication_is_refused_by_both_jobs(configured, validate, settings, message):
    validate(configured())
    with pytest.raises(ConfigError, match=message):
        validate(configured(*settings))


@pytest.mark.parametrize("setting", ["dedup.output=duplicates", "dedup.run=R"])
def test_clean_refuses_settings_of_the_other_job(configured, setting):
    key, _, value = setting.partition("=")
    with pytest.raises(ConfigError, match=rf"^{key} = {value}: clean always [^\n]*jobs/dedup\.py$"):
        clean.validate(configured(setting))


@pytest.mark.parametrize("setting", ["dedup.lines.min_documents=100", "dedup.substrings.min_words=50"])
def test_repeated_text_is_not_searched_for_without_documents(configured, setting):
    dedup.validate(configured(setting))
    key, _, value = setting.partition("=")
    with pytest.raises(
        ConfigError, match=rf"^{key} = {value}: [^\n]*; set dedup\.output=documents or {key}=0$"
    ):
        dedup.validate(configured(setting, "dedup.output=duplicates"))
