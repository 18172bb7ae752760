"""The root of the configuration: every section under its name."""

from core.config.classifier import ClassifierConfig
from core.config.dedup import DecontaminationConfig, DedupConfig
from core.config.evals import EvalsConfig
from core.config.pipeline import (
    ExtractionConfig,
    FiltersConfig,
    InputConfig,
    LedgerConfig,
    OutputConfig,
    PackConfig,
    TokenizerConfig,
)
from core.config.section import Section
from core.config.serve import ServeConfig
from core.config.train import FinetuneConfig, ModelConfig, PretrainConfig


class Config(Section):
    """The configuration of a run. Each program uses the sections it needs."""

    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    filters: FiltersConfig = FiltersConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    decontamination: DecontaminationConfig = DecontaminationConfig()
    dedup: DedupConfig = DedupConfig()
    ledger: LedgerConfig = LedgerConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    model: ModelConfig = ModelConfig()
    train: PretrainConfig = PretrainConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    evals: EvalsConfig = EvalsConfig()
    serve: ServeConfig = ServeConfig()
