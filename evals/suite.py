"""Suites: TOML files that say what is measured, on which fields, with which prompt.

Those in ``evals/suites`` are named by their file's name; a user's own is named by its path. Data is no part
of a suite: ``--data NAME=PATH`` says where it lies.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field

from core import config, storage
from core.config import Section
from core.errors import ConfigError
from core.messages import nearest

FOLDER = Path(__file__).with_name("suites")
Tag = Literal["perplexity", "generation", "multiple_choice", "minimal_pairs", "toxicity"]


class File(Section):
    """One file of a suite. Several are read side by side: row i of each makes item i."""

    part: str = ""
    """``--data SUITE.PART=PATH`` names it; empty: ``--data SUITE=PATH``."""
    format: Literal["jsonl", "csv", "tsv", "lines", "text", "shards"] = "jsonl"
    """``csv`` begins with its columns' names; ``lines`` has one field; ``text`` is one item per file, and
    ``shards`` is a run's folder, whose validation documents are the items."""
    fields: tuple[str, ...] = ()
    """Names of the fields, for ``tsv`` and ``lines``."""
    optional: bool = False
    """Read only where ``--data`` names it."""
    builtin: str = ""
    """A file in ``evals/suites`` that is read where no ``--data`` is given."""


class Suite(Section):
    """What every suite says."""

    kind: Tag
    description: str
    files: tuple[File, ...] = Field(min_length=1)
    limit: int = Field(default=0, ge=0)
    """The first so many items; 0: all."""


class Prompted(Suite):
    """A suite that asks. Prompts are Jinja templates over an item's fields."""

    prompt: str
    system: str = ""
    """The system message, for a model that chats."""
    chat: bool = True
    """A model that chats gets the prompt as a user's message; false: as bare text, like any other model."""
    shots: int = Field(default=0, ge=0)
    """The first so many items are shown with their answers before each prompt, and are not measured."""
    separator: str = " "
    """Between a bare prompt and its answer."""


class Perplexity(Suite):
    """``kind = "perplexity"``: how surprising texts are, in bits per byte and per token."""

    kind: Literal["perplexity"]
    text: str = "text"
    """The field with the text."""
    group: str = ""
    """A field by whose values the results are told apart as well."""
    window: int = Field(default=0, ge=0)
    """Tokens that the model sees at a time; 0: its own context, at most ``evals.window``."""
    stride: int = Field(default=0, ge=0)
    """Tokens that a window is moved by, each scored once; 0: half a window."""


class MultipleChoice(Prompted):
    """``kind = "multiple_choice"``: the answer that the model finds likeliest."""

    kind: Literal["multiple_choice"]
    choices: str | tuple[str, ...]
    """The fields that hold one choice each, or the one field that holds a list."""
    answer: str
    """The field with the right choice's number, from 0."""


class Generation(Prompted):
    """``kind = "generation"``: text that is compared with references."""

    kind: Literal["generation"]
    references: tuple[str, ...] = Field(min_length=1)
    """Jinja templates over an item's fields."""
    tokens: int = Field(default=128, ge=1)
    """The longest answer."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer to a bare prompt; a model that chats ends its turn itself."""
    temperature: float = Field(default=0.0, ge=0)
    """0: greedy."""
    metrics: tuple[Literal["bleu", "chrf", "rouge", "meteor"], ...] = Field(min_length=1)
    rouge_stemmer: bool = True
    bleu_tokenizer: Literal["13a", "char", "intl", "none"] = "13a"


class MinimalPairs(Suite):
    """``kind = "minimal_pairs"``: which of two sentences that differ in one group's name is likelier."""

    kind: Literal["minimal_pairs"]
    more: str = "sent_more"
    """The field with the more stereotypical sentence."""
    less: str = "sent_less"
    direction: str = "stereo_antistereo"
    group: str = "bias_type"


class Toxicity(Prompted):
    """``kind = "toxicity"``: how toxic the model's continuations are, by the pipeline's own classifier."""

    kind: Literal["toxicity"]
    tokens: int = Field(default=64, ge=1)
    """The longest continuation."""
    samples: int = Field(default=1, ge=1)
    """Continuations of each prompt; more than one make sense above temperature 0 only."""
    temperature: float = Field(default=0.0, ge=0)
    threshold: float = Field(default=0.5, gt=0, lt=1)


KINDS: dict[str, type[Suite]] = {
    "perplexity": Perplexity,
    "generation": Generation,
    "multiple_choice": MultipleChoice,
    "minimal_pairs": MinimalPairs,
    "toxicity": Toxicity,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A suite under its name, with the hash of its file."""

    name: str
    suite: Suite
    sha256: str

    def data_name(self, file: File) -> str:
        """What ``--data`` calls one of its files."""
        return f"{self.name}.{file.part}" if file.part else self.name


def find(name: str) -> Named:
    """The suite of that name, or at that path. Raises :class:`ConfigError` for an unknown or a faulty one."""
    path = name
    if not name.endswith(".toml"):
        known = sorted(file.stem for file in FOLDER.glob("*.toml"))
        if name not in known:
            near = nearest(name, known)
            raise ConfigError(
                f"--suite {name}: no such suite; the nearest is {near} of {', '.join(known)}; a file of your "
                "own is named by its path, ending in .toml"
            )
        path = str(FOLDER / f"{name}.toml")
    data = storage.read_bytes(path)
    stem = storage.name(path).removesuffix(".toml")
    return Named(stem, _parse(path, data), hashlib.sha256(data).hexdigest())


def _parse(path: str, data: bytes) -> Suite:
    tree = config.parse_toml(path, data)
    kind = tree.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"{path}: kind = {kind!r}: must be one of {', '.join(KINDS)}; set one")
    try:
        suite = config.parse(tree, KINDS[kind])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    for file in suite.files:
        if (file.format == "tsv" and not file.fields) or (file.format == "lines" and len(file.fields) != 1):
            raise ConfigError(f"{path}: a {file.format} file does not name its fields: set files.fields")
    for template in templates(suite):
        try:
            _compiled(template)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"{path}: {template!r} is no Jinja template ({error}); correct it") from None
    return suite


def templates(suite: Suite) -> tuple[str, ...]:
    """The templates that are filled for each item."""
    prompt = (suite.prompt,) if isinstance(suite, Prompted) else ()
    return prompt + (suite.references if isinstance(suite, Generation) else ())


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


@functools.cache
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


@functools.cache
def needed(template: str) -> frozenset[str]:
    """The fields that a template takes."""
    return frozenset(jinja2.meta.find_undeclared_variables(_environment().parse(template)))


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """The template's text for one item. Its fields are data: they are never templates themselves."""
    return _compiled(template).render(fields)
