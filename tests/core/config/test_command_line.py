import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

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


def test_other_command_lines_report_wrong_usage_alike(capsys):
    parser = config.ArgumentParser(prog="python -m x")
    parser.add_subparsers(required=True, metavar="go").add_parser("go").add_argument("--to", required=True)
    for arguments, message in (
        ([], "the following arguments are required: go; see --help"),
        (["go"], "the following arguments are required: --to; see --help"),
        (["go", "--to", "a", "b"], "unrecognized arguments: b; see --help"),
    ):
        with pytest.raises(ConfigError, match=f"^{message}$"):
            parser.parse_args(arguments)
    assert capsys.readouterr() == ("", "")


def test_help_names_the_command(monkeypatch):
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    module.__spec__ = ModuleSpec("evals.card.__main__", None)
    assert config.parser("x").prog == "python -m evals.card"
    module.__spec__ = None
    monkeypatch.setattr(sys, "argv", ["jobs/clean.py"])
    assert config.parser("x").prog == "clean.py"


def test_arguments_that_are_not_utf8_are_refused():
    with pytest.raises(ConfigError, match=r"'x=\\udcff': an argument must be UTF-8; check its encoding"):
        config.parser("Test.").parse_args(["--set", "x=\udcff"])
