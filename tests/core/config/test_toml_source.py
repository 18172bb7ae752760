"""Configuration files and overrides that TOML rejects."""

import pytest

from core import config
from core.errors import ConfigError


def _load(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return config.load(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train\n", "not TOML ("),
        ("[dedup]\nnear = False # off\n", "line 2: booleans are true or false in TOML"),
        ("[train]\nprecision = None\n", "line 2: TOML has no null; leave the key out"),
        ("[train]\nsteps = 1,000\n", "line 2: write 1_000, not 1,000"),
        (
            "[input]\nsplit_bytes = 128MiB\n",
            'line 2: a size with a unit needs quotes: "128MiB"',
        ),
        ("[pack]\nvalidation_share = 1%\n", "line 2: write a fraction, 0.01 for 1%"),
        ("[train]\nsteps =\n", "line 2: the key needs a value"),
        ("[output]\npath = out\n", 'line 2: strings need quotes: key = "value"'),
        (
            '[output]\npath = "C:\\Users\\me"\n',
            "in double quotes \\ begins an escape; write paths with / or in",
        ),
        ('[input]\npaths = ["D:\\data"]\n', "in double quotes \\ begins an escape; write paths with / or in"),
        ("train:\n  steps: 3\n", "the colon is YAML"),
        ('{"train": {"steps": 3}}', "this looks like JSON"),
    ],
)
def test_malformed_files_are_rejected_with_the_likely_mistake(tmp_path, text, message):
    path = tmp_path / "run.toml"
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as caught:
        _load(path, text)
    assert str(caught.value).startswith(f"{path}: not TOML (")
    assert message in str(caught.value)


def test_misplaced_tables_are_rejected(tmp_path):
    for text, message in (
        ("steps = 100\n", "steps: no such key; did you mean train.steps or finetune.steps?"),
        ("train = 3\n", "train = 3: is a section; write its keys below [train]"),
        ("[[train]]\nsteps = 3\n", "write [train] once, in single brackets"),
        ("[train.steps]\na = 1\n", 'train.steps = {"a": 1}: must be an integer'),
    ):
        with pytest.raises(ConfigError) as caught:
            _load(tmp_path / "run.toml", text)
        assert message in str(caught.value)


def test_byte_order_mark_and_line_ends_are_read(tmp_path):
    for content in (
        b"\xef\xbb\xbf[train]\nsteps = 3\n",
        b"[train]\r\nsteps = 3\r\n",
        b"[train]\rsteps = 3\r",
    ):
        assert _load(tmp_path / "run.toml", content).train.steps == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_other_encodings_are_rejected(tmp_path, encoding):
    with pytest.raises(ConfigError, match=r"not UTF-8 but UTF-16.*: save the file as UTF-8"):
        _load(tmp_path / "run.toml", "[train]\nsteps = 3\n".encode(encoding))
    with pytest.raises(ConfigError, match=r"not UTF-8 \(byte 0xfc in line 2\); save the file as UTF-8"):
        _load(tmp_path / "run.toml", "[output]\npath = 'ü'\n".encode("latin-1"))


def test_missing_files_are_rejected(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^--config \S*/none\.toml: does not exist; name a readable local TOML"
    ):
        config.load(str(tmp_path / "none.toml"))
    with pytest.raises(
        ConfigError, match=rf"^--config {tmp_path}: is a directory; name a readable local TOML"
    ):
        config.load(str(tmp_path))
    (tmp_path / "run.toml").touch()
    with pytest.raises(ConfigError, match=r"does not exist; .*; \S*/run\.toml exists$"):
        config.load(str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train=1", "must read section.key=value"),
        ("train.steps", "must read section.key=value"),
        ("steps=100", "must read section.key=value"),
        ("train/steps=1", "must read section.key=value"),
        ("train.steps[0]=1", "not a TOML key"),
        ('filters.languages=["en"', "the value is not valid TOML ("),
        ('filters.thresholds={"gopher.few_words" = 1', "the value is not valid TOML ("),
        ('output.path="out', "the value is not valid TOML ("),
    ],
)
def test_malformed_overrides_are_rejected(override, message):
    with pytest.raises(ConfigError, match=r"^--set [^\n]*$") as caught:
        config.load(None, [override])
    assert message in str(caught.value)


def test_brackets_may_begin_a_bare_word():
    assert config.load(None, ["input.index.path=[ab]*.parquet"]).input.index.path == "[ab]*.parquet"


def test_spaces_around_the_equals_sign_are_ignored():
    assert config.load(None, ["train.steps = 3", "output.path = my folder"]).output.path == "my folder"
