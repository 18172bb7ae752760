"""One TOML file and ``--set`` overrides become one validated, frozen configuration.

Every command reads the same file and takes from it the sections it needs, so that a run is described
once. Unknown keys are refused with the nearest valid name.
"""

from core.config.classifier import ClassifierConfig, CorpusConfig, LabelledText
from core.config.evals import EvalsConfig
from core.config.loading import from_command_line, from_options, load, parse, parser, require, resolved
from core.config.pipeline import (
    ColumnsConfig,
    DedupConfig,
    ExtractionConfig,
    FiltersConfig,
    IndexConfig,
    InputConfig,
    LedgerConfig,
    OutputConfig,
    PackConfig,
    TokenizerConfig,
)
from core.config.section import Section
from core.config.sections import Config
from core.config.serve import ServeConfig
from core.config.train import FinetuneConfig, LoraConfig, ModelConfig, TrainConfig

__all__ = [
    "ClassifierConfig",
    "ColumnsConfig",
    "Config",
    "CorpusConfig",
    "DedupConfig",
    "EvalsConfig",
    "ExtractionConfig",
    "FiltersConfig",
    "FinetuneConfig",
    "IndexConfig",
    "InputConfig",
    "LabelledText",
    "LedgerConfig",
    "LoraConfig",
    "ModelConfig",
    "OutputConfig",
    "PackConfig",
    "Section",
    "ServeConfig",
    "TokenizerConfig",
    "TrainConfig",
    "from_command_line",
    "from_options",
    "load",
    "parse",
    "parser",
    "require",
    "resolved",
]
