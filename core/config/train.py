"""Sections of pre-training and fine-tuning: model, train, finetune."""

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from core.config.section import Section


class ModelConfig(Section):
    """``[model]``: a Llama-style decoder."""

    num_layers: int = Field(default=12, ge=1)
    hidden_size: int = Field(default=768, ge=8)
    num_heads: int = Field(default=12, ge=1)
    num_kv_heads: int = Field(default=12, ge=1)
    intermediate_size: int = Field(default=0, ge=0)
    """Size of the feed-forward layer; 0: 8/3 of ``hidden_size``, rounded up to a multiple of 64."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    norm_epsilon: float = Field(default=1e-5, gt=0)
    tied: bool = True
    """Input and output embeddings share one matrix."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelConfig":
        if (
            self.hidden_size % self.num_heads
            or self.num_heads % self.num_kv_heads
            or (self.hidden_size // self.num_heads) % 2
        ):
            raise PydanticCustomError(
                "head_sizes",
                "hidden_size {hidden_size}, num_heads {num_heads}, num_kv_heads {num_kv_heads}: num_heads must "
                "divide hidden_size into an even head size and num_kv_heads must divide num_heads",
                self.model_dump(include={"hidden_size", "num_heads", "num_kv_heads"}),
            )
        return self


class TrainConfig(Section):
    """``[train]``: pre-training."""

    steps: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=64, ge=1)
    """Sequences per optimizer step, over all processes."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Sequences per forward pass of one process."""
    learning_rate: float = Field(default=3e-4, gt=0)
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)
    """Learning rate at the end of the cosine schedule, as a fraction of ``learning_rate``."""
    warmup_steps: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    mixture: dict[str, float] = Field(default={})
    """Relative weight of each source; empty: by its number of sequences."""
    seed: int = Field(default=1, ge=0)
    validate_every: int = Field(default=100, ge=1)
    validation_sequences: int = Field(default=256, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 on CUDA, float32 on CPU."""
    compile: bool = False
    """``torch.compile`` each block."""
    activation_checkpointing: bool = False


class LoraConfig(Section):
    """``[finetune.lora]``: low-rank adapters."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    """The correction counts ``alpha`` / ``rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are left out in training."""
    targets: tuple[str, ...] = ()
    """Of query, key, value, output, gate, up and down those to adapt; empty: all."""


class FinetuneConfig(TrainConfig):
    """``[finetune]``: what ``[train]`` has, with defaults of its own, and what is learned from what."""

    model: str = ""
    """The folder of a run, a Hugging Face folder, a GGUF file or an adapter."""
    method: Literal["full", "lora"] = "full"
    lora: LoraConfig = LoraConfig()
    files: tuple[str | tuple[str, str], ...] = ()
    """JSONL files, or pairs of text files whose lines belong together; ``.gz`` or not, local or remote."""
    validation_files: tuple[str | tuple[str, str], ...] = ()
    """The same, to validate on; none: a share of the examples."""
    validation_share: float = Field(default=0.02, ge=0, lt=1)
    """Share of the examples, by a hash of their content, that is validated on instead of learned."""
    preset: str = "chat"
    """How a record becomes a conversation: a file name in ``train/presets``, or the path of one's own."""
    fields: dict[str, str] = Field(default={})
    """What the records call the preset's fields, where they use other names: ``{"source" = "en"}``."""
    values: dict[str, str] = Field(default={})
    """What the preset leaves open: ``{"target_language" = "German"}``."""
    learn: Literal["assistant", "all"] = "assistant"
    """Which tokens to learn: those of the assistant and the marks that end its turns, or all."""
    sequence_length: int = Field(default=1024, ge=8)
    """Tokens of a packed row."""
    too_long: Literal["drop", "truncate"] = "drop"
    """What becomes of an example that is longer than a row."""
    steps: int = Field(default=0, ge=0)
    """0: as many as ``epochs`` take."""
    epochs: float = Field(default=1.0, gt=0)
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=0.0, ge=0)
    """0: a tenth of the rate that the model was pre-trained with; 3e-5, and 3e-4 for adapters, if that is not
    known."""
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    validation_sequences: int = Field(default=64, ge=1)
