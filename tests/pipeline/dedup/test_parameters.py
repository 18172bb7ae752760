import pytest
from datasketch import MinHashLSH

from core.config import DedupConfig
from core.errors import ConfigError
from pipeline.dedup.parameters import overrides, parameters, validate


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (14, 8, 5)),
        ({"preset": "refinedweb"}, (450, 20, 5)),
        ({"preset": "redpajama"}, (14, 9, 13)),
        ({"preset": "redpajama", "shingle": 3}, (14, 9, 3)),
        ({"preset": "fineweb", "threshold": 0.9}, (14, 8, 5)),
        ({"bands": 20, "rows": 5}, (20, 5, 5)),
    ],
)
def test_bands_rows_and_shingle_follow_preset_and_settings(settings, expected):
    assert parameters(DedupConfig(**settings))[:3] == expected


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97])
def test_a_threshold_alone_chooses_the_bands_of_datasketch(threshold):
    found = parameters(DedupConfig(threshold=threshold))
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    assert (found.bands, found.rows, found.threshold) == (lsh.b, lsh.r, threshold)


def test_a_single_band_is_best_for_thresholds_close_to_one():
    found = parameters(DedupConfig(threshold=0.99))
    assert found.bands == 1 and found.permutations <= 128


def test_default_threshold_is_that_of_the_curve():
    found = parameters(DedupConfig())
    assert abs(1 - (1 - found.threshold**8) ** 14 - 0.64) < 0.01


@pytest.mark.parametrize("settings", [{"bands": 5}, {"rows": 5}, {"bands": 10_000, "rows": 100}])
def test_impossible_parameters_are_refused(settings):
    with pytest.raises(ConfigError, match=r"dedup\.bands"):
        parameters(DedupConfig(**settings))


def test_an_index_needs_verification():
    for settings in ({"index": "I"}, {"verify": False}, {"index": "I", "near": False, "verify": False}):
        validate(DedupConfig(**settings), has_quality=False)
    with pytest.raises(ConfigError, match=r"^dedup\.verify = false: with dedup\.index = I, [^\n]*$"):
        validate(DedupConfig(index="I", verify=False), has_quality=False)
    with pytest.raises(ConfigError, match=r"dedup\.bands = 5"):
        validate(DedupConfig(bands=5), has_quality=False)


@pytest.mark.parametrize("name", ["bands", "rows", "shingle", "seed"])
def test_overrides_lead_to_the_parameters(name):
    own = parameters(DedupConfig(bands=3, rows=7, shingle=4, seed=9))
    set_to = dict(option.removeprefix("dedup.").split("=") for option in overrides(own, name).split()[1::2])
    found = parameters(DedupConfig.model_validate({key: int(value) for key, value in set_to.items()}))
    assert getattr(found, name) == getattr(own, name)
