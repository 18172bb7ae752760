"""Suites: TOML files that set a task type, the fields of the data, and prompts.

Shipped suites are in ``evals/suites`` and are named without ``.toml``; a user's own is named by its path.
Data is not part of a suite: ``--data NAME=PATH`` gives its path.
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

SUITES_FOLDER = Path(__file__).with_name("suites")
TaskType = Literal["perplexity", "generation", "multiple_choice", "minimal_pairs", "toxicity"]


class SuiteFile(Section):
    """One data file of a suite. Several files are read in parallel: row i of each makes item i."""

    part: str = ""
    """Name in ``--data SUITE.PART=PATH``; empty: ``--data SUITE=PATH``."""
    format: Literal["jsonl", "csv", "tsv", "lines", "text", "shards"] = "jsonl"
    """``csv`` has a header line; ``lines`` has one field; ``text`` is one item per file; ``shards`` is a run
    folder, whose validation documents are the items."""
    fields: tuple[str, ...] = ()
    """Names of the fields, for ``tsv`` and ``lines``."""
    optional: bool = False
    """Read only if ``--data`` names it."""
    builtin: str = ""
    """File in ``evals/suites`` that is read if ``--data`` does not name another."""


class Suite(Section):
    """Keys that all suites have."""

    kind: TaskType
    description: str
    files: tuple[SuiteFile, ...] = Field(min_length=1)
    limit: int = Field(default=0, ge=0)
    """Number of items to evaluate, from the first; 0: all."""


class PromptedSuite(Suite):
    """A suite with prompts. Prompts are Jinja templates over an item's fields."""

    prompt: str
    system: str = ""
    """System message, for a chat model."""
    chat: bool = True
    """True: a chat model gets the prompt as a user message. False: as plain text, as other models do."""
    shots: int = Field(default=0, ge=0)
    """Number of few-shot examples: the first items, which are not evaluated."""
    separator: str = " "
    """Text between a plain prompt and its answer."""


class PerplexitySuite(Suite):
    """``kind = "perplexity"``: bits per byte and per token of texts."""

    kind: Literal["perplexity"]
    text: str = "text"
    """Field that holds the text."""
    group: str = ""
    """Field by whose values the results are also reported."""
    window: int = Field(default=0, ge=0)
    """Context in tokens; 0: the model's own, at most ``evals.window``."""
    stride: int = Field(default=0, ge=0)
    """Tokens by which the window advances; 0: half a window."""


class MultipleChoiceSuite(PromptedSuite):
    """``kind = "multiple_choice"``: accuracy of the most likely choice."""

    kind: Literal["multiple_choice"]
    choices: str | tuple[str, ...]
    """The fields that hold one choice each, or the one field that holds a list."""
    answer: str
    """Field that holds the index of the correct choice, from 0."""


class GenerationSuite(PromptedSuite):
    """``kind = "generation"``: generated text compared with references."""

    kind: Literal["generation"]
    references: tuple[str, ...] = Field(min_length=1)
    """Jinja templates over an item's fields."""
    tokens: int = Field(default=128, ge=1)
    """Most tokens to generate."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer to a plain prompt; a chat model ends its turn itself."""
    temperature: float = Field(default=0.0, ge=0)
    """0: greedy."""
    metrics: tuple[Literal["bleu", "chrf", "rouge", "meteor"], ...] = Field(min_length=1)
    rouge_stemmer: bool = True
    bleu_tokenizer: Literal["13a", "char", "intl", "none"] = "13a"


class MinimalPairsSuite(Suite):
    """``kind = "minimal_pairs"``: the more likely of two sentences that differ in the group they name."""

    kind: Literal["minimal_pairs"]
    more: str = "sent_more"
    """Field that holds the more stereotypical sentence."""
    less: str = "sent_less"
    direction: str = "stereo_antistereo"
    group: str = "bias_type"


class ToxicitySuite(PromptedSuite):
    """``kind = "toxicity"``: toxicity of the model's continuations, scored by the pipeline's classifier."""

    kind: Literal["toxicity"]
    tokens: int = Field(default=64, ge=1)
    """Most tokens to generate."""
    samples: int = Field(default=1, ge=1)
    """Continuations of each prompt; more than one needs a temperature above 0."""
    temperature: float = Field(default=0.0, ge=0)
    threshold: float = Field(default=0.5, gt=0, lt=1)


SUITE_CLASSES: dict[str, type[Suite]] = {
    "perplexity": PerplexitySuite,
    "generation": GenerationSuite,
    "multiple_choice": MultipleChoiceSuite,
    "minimal_pairs": MinimalPairsSuite,
    "toxicity": ToxicitySuite,
}


@dataclass(frozen=True, slots=True)
class NamedSuite:
    """A suite with its name and the hash of its file."""

    name: str
    suite: Suite
    sha256: str

    def data_name(self, file: SuiteFile) -> str:
        """Return the name of a data file in ``--data``."""
        return f"{self.name}.{file.part}" if file.part else self.name


def load_suite(name: str) -> NamedSuite:
    """Load a shipped suite by name, or any suite by path.

    Raises :class:`ConfigError` for an unknown name or an invalid file.
    """
    path = name
    if not name.endswith(".toml"):
        shipped = sorted(file.stem for file in SUITES_FOLDER.glob("*.toml"))
        if name not in shipped:
            raise ConfigError(
                f"--suite {name}: no such suite; the nearest valid name is {nearest(name, shipped)}; suites: "
                f"{', '.join(shipped)}; name a suite of your own by its path, which ends in .toml"
            )
        path = str(SUITES_FOLDER / f"{name}.toml")
    data = storage.read_bytes(path)
    stem = storage.name(path).removesuffix(".toml")
    return NamedSuite(stem, _parse(path, data), hashlib.sha256(data).hexdigest())


@functools.cache
def template_fields(template: str) -> frozenset[str]:
    """Return the fields that a template uses."""
    return frozenset(jinja2.meta.find_undeclared_variables(_environment().parse(template)))


def render(template: str, fields: Mapping[str, Any]) -> str:
    """Render a template for one item. Field values are data and are never interpreted as templates."""
    return _compile(template).render(fields)


def _parse(path: str, data: bytes) -> Suite:
    tree = config.parse_toml(path, data)
    kind = tree.get("kind")
    if kind not in SUITE_CLASSES:
        raise ConfigError(f"{path}: kind = {kind!r}: must be one of {', '.join(SUITE_CLASSES)}; set one")
    try:
        suite = config.parse(tree, SUITE_CLASSES[kind])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    for file in suite.files:
        if (file.format == "tsv" and not file.fields) or (file.format == "lines" and len(file.fields) != 1):
            raise ConfigError(f"{path}: a {file.format} file needs names for its fields; set files.fields")
    for template in _templates(suite):
        try:
            _compile(template)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(
                f"{path}: {template!r} is not a valid Jinja template ({error}); correct it"
            ) from None
    return suite


def _templates(suite: Suite) -> tuple[str, ...]:
    """Return the templates that are rendered for each item."""
    prompt = (suite.prompt,) if isinstance(suite, PromptedSuite) else ()
    return prompt + (suite.references if isinstance(suite, GenerationSuite) else ())


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


@functools.cache
def _compile(template: str) -> jinja2.Template:
    return _environment().from_string(template)
