import json

import pytest

from core import config
from core.errors import ConfigError, InputError


def test_dry_run_prints_the_resolved_configuration(capsys):
    assert config.from_command_line("x", ["--dry-run", "--set", "train.steps=3"]) is None
    assert json.loads(capsys.readouterr().out)["train"]["steps"] == 3


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_checks_of_the_program_run_with_and_without_dry_run(arguments, capsys):
    def fails(checked):
        assert checked.train.steps == 3
        raise InputError("nothing there")

    with pytest.raises(InputError, match="nothing there"):
        config.from_command_line("x", [*arguments, "--set=train.steps=3"], lambda checked: None, fails)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "train.steps", "=", "100"], "as one argument without spaces around ="),
        (
            ["--set", "train.steps=", "100"],
            "unrecognized arguments: 100; write an override as --set 'section",
        ),
        (["--set", "output.path=my", "folder"], "unrecognized arguments: folder; write an override as --set"),
        (["--steps", "100"], "unrecognized arguments: --steps 100; .*; see --help"),
        (["--config"], "argument --config: expected one argument; see --help"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message, capsys):
    with pytest.raises(ConfigError, match=message):
        config.from_command_line("x", arguments)
    assert capsys.readouterr() == ("", "")
