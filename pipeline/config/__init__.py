"""One TOML file and ``--set`` overrides become one validated, frozen configuration.

Every command reads the same file and takes from it the sections it needs, so that a run is described
once. Unknown keys are refused with the nearest valid name.
"""

from pipeline.config.loading import from_command_line, from_options, load, parse, parser, require, resolved
from pipeline.config.sections import (
    Classifier,
    Columns,
    Config,
    Corpus,
    Dedup,
    Evals,
    Extraction,
    Filters,
    Finetune,
    Index,
    Input,
    LabelledText,
    Ledger,
    Lora,
    Model,
    Output,
    Pack,
    Section,
    Serve,
    Tokenizer,
    Train,
)

__all__ = [
    "Classifier",
    "Columns",
    "Config",
    "Corpus",
    "Dedup",
    "Evals",
    "Extraction",
    "Filters",
    "Finetune",
    "Index",
    "Input",
    "LabelledText",
    "Ledger",
    "Lora",
    "Model",
    "Output",
    "Pack",
    "Section",
    "Serve",
    "Tokenizer",
    "Train",
    "from_command_line",
    "from_options",
    "load",
    "parse",
    "parser",
    "require",
    "resolved",
]
