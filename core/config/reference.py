"""Generate ``docs/configuration.md`` from the section classes.

``python -m core.config.reference`` prints the page, ``--write`` writes it, ``--check`` fails if the file is
not up to date. Names, types, defaults and bounds come from the fields; the text comes from the docstrings.
"""

import ast
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import annotated_types
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.config.command_line import ArgumentParser
from core.config.loading import subsection
from core.config.section import Section, parse_size
from core.config.sections import Config
from core.errors import InputError, OutputError, run

PATH = "docs/configuration.md"
COMMAND = "python -m core.config.reference"

_HEAD = f"""# Configuration

Every program takes its settings from one TOML file (`--config run.toml`) and from overrides on the command
line (`--set section.key=value`, which may be repeated). Each program uses the sections it needs. All keys are
optional unless a program says that it needs one; unknown keys are rejected.

`--dry-run` checks the settings and local paths, and prints the settings with all defaults. The dry run of a
job accesses no remote files and does not require that earlier stages have run, so that a whole pipeline can
be checked before it starts. `jobs/clean.py` also refuses a local `output.path` that holds other files or a
run with other settings.

The value of an override is TOML: `--set train.steps=100`, `--set 'input.paths=["a.warc.gz", "b.warc.gz"]'`. A
bare word is a string: `--set output.path=out`. Sizes are numbers of bytes or strings with a unit: `"128MiB"`
(2^20) or `"128MB"` (10^6). A table is merged with the file's; an empty one removes it: `--set
'filters.thresholds={{}}'`.

This page is generated from `core/config`: `{COMMAND} --write`.
"""
_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_BOUNDS = {
    annotated_types.Ge: ("≥", "ge"),
    annotated_types.Gt: (">", "gt"),
    annotated_types.Le: ("≤", "le"),
    annotated_types.Lt: ("<", "lt"),
}


def render() -> str:
    """Return the page as Markdown."""
    return _HEAD + "".join(_sections(Config, ()))


def main(arguments: Sequence[str]) -> None:
    """Print, write or check the page."""
    parser = ArgumentParser(prog=COMMAND, description="Generate the configuration reference.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", nargs="?", const=PATH, metavar="FILE", help=f"write the page ({PATH})")
    action.add_argument("--check", nargs="?", const=PATH, metavar="FILE", help="fail if the page is stale")
    options = parser.parse_args(arguments)
    if options.check:
        check(Path(options.check))
    elif options.write:
        try:
            Path(options.write).write_text(render(), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{options.write}: {error.strerror}; check the path") from None
    else:
        print(render(), end="")


def check(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` holds the current page."""
    if not path.is_file() or path.read_text(encoding="utf-8") != render():
        raise InputError(f"{path}: does not match core/config; regenerate it: {COMMAND} --write {path}")


def _sections(section: type[Section], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the text of all subsections in depth-first order, each after its parent."""
    for name, field in section.model_fields.items():
        if inner := subsection(field):
            yield _section(inner, (*path, name), repeated=inner is not field.annotation)
            yield from _sections(inner, (*path, name))


def _section(section: type[Section], path: tuple[str, ...], *, repeated: bool) -> str:
    heading = ".".join(path)
    text = [f"\n## {f'[[{heading}]]' if repeated else f'[{heading}]'}\n", _paragraphs(section)]
    descriptions = field_docstrings(section)
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field)} | {_inline(descriptions.get(name, ''))} |"
        for name, field in section.model_fields.items()
        if not subsection(field)
    ]
    if rows:
        text += ["| Key | Type | Default | Description |", "|---|---|---|---|", *rows, ""]
    return "\n".join(text)


def field_docstrings(section: type[Section]) -> dict[str, str]:
    """Return the docstrings of all fields, including inherited ones.

    A field that only changes a default inherits the docstring of the field that it overrides.
    """
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if issubclass(base, Section) and base is not Section:
            found |= _own_docstrings(base)
    return found


def _own_docstrings(section: type[Section]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
    definition = tree.body[0]
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, following in pairwise(definition.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
    return found


def _paragraphs(section: type[Section]) -> str:
    text = inspect.cleandoc(section.__doc__ or "")
    return "".join(f"{_inline(paragraph)}\n\n" for paragraph in text.split("\n\n")).rstrip("\n") + "\n"


def _inline(text: str) -> str:
    """Convert a docstring to one line of Markdown for a table cell."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _type(field: FieldInfo) -> str:
    """Describe the type and the bounds of a field."""
    parts = ["size" if _is_size(field) else _type_name(field.annotation)]
    for bound in field.metadata:
        for kind, (sign, attribute) in _BOUNDS.items():
            if isinstance(bound, kind):
                parts.append(f"{sign} {_toml(getattr(bound, attribute))}")
    return ", ".join(parts)


def _is_size(field: FieldInfo) -> bool:
    return any(isinstance(each, BeforeValidator) and each.func is parse_size for each in field.metadata)


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        values = ", ".join(f"`{_toml(value)}`" for value in arguments)
        return f"one of {values}" if len(arguments) > 1 else values
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(argument) for argument in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {_plural(arguments[0])}"
    if origin is tuple:
        return f"pair of {_plural(arguments[0])}"
    if origin is dict:
        return f"table of {_plural(arguments[1])}"
    return _NAMES[annotation]


def _plural(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_plural(argument) for argument in arguments)
    name = _type_name(annotation)
    if origin in (tuple, dict):
        return name.replace(" of ", "s of ", 1)
    return name.removeprefix("one of ") if origin is Literal else f"{name}s"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return f"`{_toml(_size(field.default) if _is_size(field) else field.default)}`"


def _size(size: int) -> int | str:
    for exponent, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size % (1 << exponent) == 0:
            return f"{size >> exponent}{unit}"
    return size


def _toml(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if value >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:g}" if value < 1e-3 else repr(value)
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    run(main)
