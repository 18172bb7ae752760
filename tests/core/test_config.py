import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core import config
from core.errors import ConfigError


def test_file_and_overrides_apply_in_order(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[input]\npaths = ["a.warc.gz"]\n[train]\nsteps = 7\n')
    loaded = config.load(str(path), ["train.steps=8", "train.steps=9", "output.path=out", "dedup.near=false"])
    assert loaded.input.paths == ("a.warc.gz",)
    assert loaded.train.steps == 9
    assert loaded.output.path == "out"
    assert loaded.dedup.near is False


def test_override_takes_toml_lists_and_quoted_keys():
    loaded = config.load(None, ['input.paths=["a","s3://bucket/b"]', 'filters.thresholds."x.y"=20'])
    assert loaded.input.paths == ("a", "s3://bucket/b")
    assert loaded.filters.thresholds == {"x.y": 20.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=1", "train.step: no such key; the nearest valid name is train.steps"),
        ("trian.steps=1", "trian: no such key; the nearest valid name is train"),
        ("train.steps=many", "train.steps = 'many'"),
        ("train.steps=0", "train.steps = 0"),
        ("train.steps=1.5", "train.steps = 1.5"),
        ("input.format=word", "input.format = 'word'"),
        ("train=1", "must read section.key=value"),
        ("model.num_heads=5", "num_kv_heads must divide num_heads"),
    ],
)
def test_refuses_in_one_line(override, message):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as caught:
        config.load(None, [override])
    assert message in str(caught.value)


def test_missing_and_malformed_files(tmp_path):
    with pytest.raises(ConfigError, match="must name a readable local TOML file"):
        config.load(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("[train\n")
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(str(tmp_path / "bad.toml"))


def test_is_frozen():
    with pytest.raises(ValidationError):
        config.load(None).train.steps = 3  # type: ignore[misc]


def test_dry_run_prints_the_resolved_configuration(capsys):
    assert config.from_command_line("x", ["--dry-run", "--set", "train.steps=3"]) is None
    assert json.loads(capsys.readouterr().out)["train"]["steps"] == 3


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_string_survives_as_an_override(text):
    quoted = "".join(f"\\U{ord(character):08x}" for character in text)
    assert config.load(None, [f'output.path="{quoted}"']).output.path == text
    assert config.load(None, [f"output.path=/{text}\x7f"]).output.path == f"/{text}\x7f"
