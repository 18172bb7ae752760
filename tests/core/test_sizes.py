"""``model.size``: what follows from it, and what is set by hand."""

from pathlib import Path

import pytest

from core import config
from core.config import Config
from core.errors import ConfigError


def load(*overrides: str) -> Config:
    return config.load(None, overrides)


@pytest.mark.parametrize(
    ("size", "shape", "learning_rate", "tokens"),
    [
        # 1.79 · N^-0.713 · D^0.307 and 0.58 · D^0.571, with N = 12 · layers · width² and D = 20 · N.
        ("tiny", (4, 256, 4, 4), 3e-3, 1 << 14),
        ("d12", (12, 768, 12, 12), 2.7e-3, 1 << 17),
        ("135m", (30, 576, 9, 3), 2.4e-3, 1 << 17),
        ("1b", (16, 2048, 32, 8), 1.1e-3, 1 << 19),
        ("8b", (32, 4096, 32, 8), 4.7e-4, 1 << 20),
    ],
)
def test_shape_learning_rate_and_batch_follow_from_the_size(
    size: str, shape: tuple[int, ...], learning_rate: float, tokens: int
) -> None:
    for length in (512, 2048):
        found = load(f"model.size={size}", f"pack.sequence_length={length}")
        model = found.model
        assert (model.num_layers, model.hidden_size, model.num_heads, model.num_kv_heads) == shape
        assert found.train.learning_rate == learning_rate
        assert found.train.batch_size * length == tokens


def test_settings_by_hand_win(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[model]\nsize = '135m'\nnum_layers = 15\n[train]\nlearning_rate = 1e-3\n")
    found = config.load(str(file), ["model.tied=false"])
    assert (found.model.num_layers, found.model.hidden_size, found.model.tied) == (15, 576, False)
    assert found.train.learning_rate == 1e-3
    assert config.parse(config.resolved(found), Config) == found
    assert load().model == Config().model


def test_a_size_on_the_command_line_replaces_the_shape_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[model]\nnum_layers = 15\ndropout = 0.1\n[train]\nlearning_rate = 1e-3\nsteps = 7\n")
    found = config.load(str(file), ["model.size=d12", "model.num_kv_heads=4"])
    assert (found.model.num_layers, found.model.num_kv_heads, found.model.dropout) == (12, 4, 0.1)
    assert (found.train.learning_rate, found.train.steps) == (2.7e-3, 7)


@pytest.mark.parametrize("size", ["2b", "d0", "12", "D4"])
def test_unknown_sizes_are_refused(size: str) -> None:
    with pytest.raises(ConfigError, match="no such size; name one of tiny, 135m, 1b, 8b, or a depth"):
        load(f"model.size='{size}'")


def test_other_errors_are_reported_as_they_are() -> None:
    with pytest.raises(ConfigError, match=r"model\.size = 12: must be a string"):
        load("model.size=12")
    with pytest.raises(ConfigError, match=r"model\.num_layers = 'many'"):
        load("model.size=d4", "model.num_layers=many")
