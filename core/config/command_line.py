"""The options that all programs share: ``--config``, ``--set`` and ``--dry-run``."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from core.config.loading import load, resolved
from core.config.sections import Config
from core.errors import ConfigError

Check = Callable[[Config], object]
"""Raises an error of ours for a configuration that a program cannot run with; the result is ignored."""


class ArgumentParser(argparse.ArgumentParser):
    """Reports wrong usage like all other errors, so that it is one line under ``torchrun`` as well.

    ``prog`` is by default the command that started the program: ``python -m evals``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        module = getattr(sys.modules["__main__"], "__spec__", None)
        if module is not None:
            options.setdefault("prog", f"python -m {module.name.removesuffix('.__main__')}")
        super().__init__(*arguments, **options)

    def parse_known_args(  # type: ignore[override]  # the overloads differ only in the namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the arguments. Raises :class:`ConfigError` for one that is not UTF-8."""
        for argument in sys.argv[1:] if args is None else args:
            try:
                argument.encode()
            except UnicodeEncodeError:  # Python represents such bytes by surrogates
                raise ConfigError(f"{argument!a}: an argument must be UTF-8; check its encoding") from None
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise :class:`ConfigError` with the remedy."""
        remedy = "see --help"
        if message.startswith("unrecognized arguments") and "--set" in self._option_string_actions:
            remedy = f"write an override as --set 'section.key=value', without spaces around =; {remedy}"
        raise ConfigError(f"{message}; {remedy}")


def parser(description: str) -> ArgumentParser:
    """Return a parser with the options that all programs share."""
    result = ArgumentParser(description=description)
    result.add_argument("--config", metavar="FILE.toml", help="the configuration of the run")
    result.add_argument(
        "--set",
        action="append",
        default=[],
        type=_override,
        metavar="a.b=VALUE",
        help="override one key; VALUE is TOML, a bare word is a string; may be repeated",
    )
    result.add_argument(
        "--dry-run", action="store_true", help="check the configuration, print it with all defaults and stop"
    )
    return result


def from_command_line(description: str, arguments: Sequence[str], *checks: Check) -> Config | None:
    """Parse the shared options and return what :func:`from_options` returns."""
    return from_options(parser(description).parse_args(arguments), *checks)


def bounded(
    number_type: type[int] | type[float], minimum: float, maximum: float = math.inf
) -> Callable[[str], float]:
    """Return an argparse type for finite numbers from ``minimum`` to ``maximum``."""

    def parse(text: str) -> float:
        value: float = number_type(text)
        if not (minimum <= value <= maximum and math.isfinite(value)):
            rule = f"at least {minimum}" if maximum == math.inf else f"between {minimum} and {maximum}"
            raise argparse.ArgumentTypeError(f"{text} is not {rule}; use a number in that range")
        return value

    parse.__name__ = number_type.__name__  # which argparse names for a text that is no number
    return parse


def from_options(options: argparse.Namespace, *checks: Check) -> Config | None:
    """Load the configuration that parsed options name and run the program's own checks on it.

    With ``--dry-run``, print the configuration as JSON and return None.
    """
    config = load(options.config, options.set)
    for check in checks:
        check(config)
    if options.dry_run:
        print(json.dumps(resolved(config), indent=2, ensure_ascii=False))
        return None
    return config


def _override(text: str) -> str:
    if "=" not in text:
        raise ConfigError(
            f"--set {text}: must read section.key=value, as one argument without spaces around =; "
            "for example --set train.steps=100"
        )
    return text
