"""From a TOML file and ``--set`` overrides to a configuration, or one line that says what is wrong."""

import argparse
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.config.renamed import RENAMED
from core.config.section import Section
from core.config.sections import Config
from core.errors import ConfigError
from core.messages import nearest

Kind = TypeVar("Kind", bound=Section)


def load(path: str | None, overrides: Sequence[str] = ()) -> Config:
    """Read ``path`` (none: all defaults) and apply ``a.b=TOML`` overrides in order.

    Raises :class:`ConfigError` for a missing or malformed file, an unknown key or a refused value.
    """
    tree = _read_toml(path) if path else {}
    for override in overrides:
        _apply(tree, override)
    return parse(tree, Config)


def parse(tree: dict[str, Any], kind: type[Kind]) -> Kind:
    """What TOML holds as a section of that kind, or :class:`ConfigError`, as :func:`load` says."""
    _refuse_unknown(tree, kind)
    try:
        return kind.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from None


def resolved(config: Config, *sections: str) -> dict[str, Any]:
    """The named sections (none named: all) as plain JSON values, for manifests."""
    return config.model_dump(mode="json", include=set(sections) or None)


def parser(description: str) -> argparse.ArgumentParser:
    """The command line that every program shares."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--config", metavar="FILE.toml", help="the run's configuration")
    result.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=VALUE",
        help="override one key; VALUE is TOML, a bare word is a string",
    )
    result.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    return result


def from_command_line(description: str, arguments: Sequence[str]) -> Config | None:
    """Parse the shared options; with ``--dry-run``, print the configuration and return None."""
    return from_options(parser(description).parse_args(arguments))


def from_options(options: argparse.Namespace) -> Config | None:
    """The configuration that parsed options name; with ``--dry-run``, print it and return None."""
    config = load(options.config, options.set)
    if options.dry_run:
        print(json.dumps(resolved(config), indent=2, ensure_ascii=False))
        return None
    return config


def require(config: Config, key: str) -> None:
    """Refuse a configuration whose ``section.name`` is empty."""
    section, name = key.split(".")
    if not getattr(getattr(config, section), name):
        raise ConfigError(f"{key} is empty: it must be given; set it in --config or by --set {key}=…")


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}: --config must name a readable TOML file; check the path"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error}); correct the file") from None


def _apply(tree: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or "." not in key:
        raise ConfigError(f"--set {override}: must read section.key=value; for example --set train.steps=100")
    try:
        parsed = tomllib.loads(f"{key} = {text}")
    except tomllib.TOMLDecodeError:
        parsed = _bare_word(key, text)
    _merge(tree, parsed)


def _bare_word(key: str, text: str) -> dict[str, Any]:
    """A value that is no TOML is a string, so that a shell's quotes need not be quoted."""
    try:
        parsed = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {key}={text}: not a TOML key ({error}); correct or quote it") from None
    leaf = parsed
    while isinstance(inner := next(iter(leaf.values())), dict):
        leaf = inner
    leaf[next(iter(leaf))] = text
    return parsed


def _merge(tree: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _refuse_unknown(tree: dict[str, Any], model: type[BaseModel], prefix: str = "") -> None:
    for key, value in tree.items():
        field = model.model_fields.get(key)
        if new := RENAMED.get(prefix + key):
            raise ConfigError(f"{prefix}{key} is now {new}; rename the key")
        if field is None:
            near = nearest(key, model.model_fields)
            raise ConfigError(f"{prefix}{key}: no such key; the nearest valid name is {prefix}{near}")
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, dict):
            _refuse_unknown(value, kind, f"{prefix}{key}.")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "head_sizes":
        return f"{key}: {problem['msg']}; change one of them"
    return f"{key} = {problem['input']!r}: {problem['msg']}; set another value"
