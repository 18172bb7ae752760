"""Build the validated configuration from a TOML file and ``--set`` overrides."""

import json
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from core.config import sizes, toml_source
from core.config.pipeline import FiltersConfig
from core.config.problems import KeyPath, describe, show_key, show_value
from core.config.renamed import CONVERSIONS, RENAMED
from core.config.section import Section
from core.config.sections import Config
from core.errors import ConfigError
from core.messages import USER_INFORMATION, nearest

_WITH_USER = re.compile(rf"(?:^|::)\s*((?:commoncrawl:)?([A-Za-z][A-Za-z0-9+.-]*)){USER_INFORMATION}")
"""An address with user information, which may follow the name of a cache: ``filecache::https://…``."""

SectionT = TypeVar("SectionT", bound=Section)

PRESET_KEYS = ("thresholds", "languages")
"""Keys of ``[filters]`` that are chosen for a preset."""

_ESCAPED_PATH = re.compile(r"[A-Za-z]:[\x07-\x0d\x1b]")
"""A Windows path in double quotes whose backslashes TOML took for escapes: ``"C:\\temp"``."""


def load(path: str | None, overrides: Sequence[str] = ()) -> Config:
    """Read the TOML file ``path`` (None: all defaults) and apply ``a.b=VALUE`` overrides in order.

    What follows from ``model.size`` is filled in. If an override names another ``filters.preset``, the
    file's :data:`PRESET_KEYS` do not apply; if one names a ``model.size``, the file's shape does not.
    Raises :class:`ConfigError` for a missing or malformed file, an unknown key or an invalid value.
    """
    tree = toml_source.read(path) if path else {}
    given: dict[str, Any] = {}
    for override in overrides:
        toml_source.apply(given, override)
    _leave_preset(tree.get("filters"), given.get("filters"))
    sizes.leave_size(tree, given)
    for override in overrides:
        toml_source.apply(tree, override)
    return parse(sizes.expand(tree), Config)


def _leave_preset(own: object, given: object) -> None:
    """Remove from a file's ``[filters]`` what belongs to its preset, if the overrides name another one.

    ``none`` always keeps everything.
    """
    if isinstance(own, dict) and isinstance(given, dict) and "preset" in given:
        default = FiltersConfig.model_fields["preset"].default
        if given["preset"] == own.get("preset", default) != "none":
            return
        for key in PRESET_KEYS:
            own.pop(key, None)


def parse(tree: dict[str, Any], section: type[SectionT]) -> SectionT:
    """Validate what TOML holds as a section of the given class. Raises like :func:`load`."""
    _check_keys(tree, section, (), section)
    _check_values(tree, ())
    try:
        return section.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(describe(error, tree)) from None


def resolved(config: Config, *sections: str) -> dict[str, Any]:
    """Return the named sections (none named: all) as plain JSON values, for manifests."""
    return config.model_dump(mode="json", include=set(sections) or None)


def require(config: Config, *keys: str) -> None:
    """Raise :class:`ConfigError` for the first ``section.name`` that is empty."""
    for key in keys:
        section, name = key.split(".")
        if not getattr(getattr(config, section), name):
            raise ConfigError(f"{key} is empty: it must be given; set it in --config or by --set {key}=…")


def required(*keys: str) -> Callable[[Config], None]:
    """Return a check that calls :func:`require`, for :func:`core.config.from_command_line`."""
    return lambda config: require(config, *keys)


def subsection(field: FieldInfo) -> type[Section] | None:
    """Return the section class of a field that is a section or a list of sections."""
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _check_keys(tree: Mapping[str, Any], section: type[Section], path: KeyPath, root: type[Section]) -> None:
    """Reject unknown and renamed keys at any depth."""
    for key, value in tree.items():
        here = (*path, key)
        dotted = show_key(here)
        if new := RENAMED.get(dotted):
            raise ConfigError(f"{dotted} is now {new}; rename the key" + _conversion(dotted))
        if (field := section.model_fields.get(key)) is None:
            raise ConfigError(f"{dotted}: no such key; {_suggestion(key, section, path, root)}")
        if inner := subsection(field):
            for index, table in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(table, dict):
                    _check_keys(table, inner, here if index is None else (*here, index), root)


def _conversion(key: str) -> str:
    return f" and {CONVERSIONS[key]}" if key in CONVERSIONS else ""


def _suggestion(key: str, section: type[Section], path: KeyPath, root: type[Section]) -> str:
    """Name the key of the same name in another section, or else the nearest one in this section."""
    if elsewhere := [dotted for dotted in _all_keys(root) if dotted.rpartition(".")[2] == key]:
        return f"did you mean {' or '.join(elsewhere)}?"
    near = f"the nearest valid name is {show_key((*path, nearest(key, section.model_fields)))}"
    return f"{near}; sections: {', '.join(section.model_fields)}" if section is Config else near


def _all_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if inner := subsection(field):
            yield from _all_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _check_values(value: object, path: KeyPath) -> None:
    """Reject values that are valid TOML, but never intended: NaN, escapes in Windows paths, credentials.

    Paths are written to manifests, ledgers and logs, so that they must not have a password or token. The
    message does not show it.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_values(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_values(inner, (*path, index))
    elif isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{show_key(path)} = nan: must be a number; set another value")
    elif isinstance(value, str) and (address := _WITH_USER.search(value)):
        raise ConfigError(
            f"{show_key(path)} = {address[1]}://…@…: a user, password or token in an address would be "
            f"written to manifests, ledgers and logs; remove it, and {_credentials_remedy(address[2])}"
        )
    elif isinstance(value, str) and _ESCAPED_PATH.match(value):
        raise ConfigError(
            f"{show_key(path)} = {show_value(value)}: \\ begins an escape in double quotes; write the path "
            "with / or in single quotes"
        )


def _credentials_remedy(scheme: str) -> str:
    """Return where the credentials for a kind of storage belong."""
    if scheme.startswith("s3"):
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if scheme == "hdfs":
        return "set HADOOP_USER_NAME or use Kerberos"
    return 'set FSSPEC_HTTPS=\'{"headers": {"Authorization": "Basic BASE64-OF-USER:PASSWORD"}}\''
