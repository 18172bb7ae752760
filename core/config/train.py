"""Sections of pre-training and fine-tuning: model, train, finetune."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from core.config.section import ByteSize, Section, Weights

DEFAULT_RUN = "training"
"""Name of a pre-training run that is given none."""
OTHER_OUTPUTS = (
    "analysis",
    "cards",
    "classifier",
    "documents",
    "duplicates",
    "finetuning",
    "ledger",
    "model",
    "quarantine",
    "shards",
    "tokenizer",
)
"""Names below ``output.path`` of what is not a pre-training run."""
_RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class ModelConfig(Section):
    """Architecture of the model, a decoder.

    Heads must have an even size, and ``num_kv_heads`` must divide ``num_heads``.
    """

    size: str = ""
    """``tiny``, ``135m``, ``1b`` or ``8b``, or a depth such as ``d12``: as many layers and heads, and 64
    channels of width for each. Shape, ``train.learning_rate`` and ``train.batch_size`` follow from it where
    they are not set."""
    architecture: Literal["llama", "gpt2"] = "llama"
    """``llama``: RMSNorm, rotary positions, SwiGLU. ``gpt2``: LayerNorm, learned positions up to the sequence
    length of the shards, GELU, biases, and as many key and value heads as query heads."""
    num_layers: int = Field(default=12, ge=1)
    """Number of transformer blocks."""
    hidden_size: int = Field(default=768, ge=8)
    """Width of the residual stream."""
    num_heads: int = Field(default=12, ge=1)
    """Query heads of each attention layer."""
    num_kv_heads: int = Field(default=12, ge=1)
    """Key and value heads of each attention layer; fewer than ``num_heads``: grouped-query attention."""
    head_size: int = Field(default=0, ge=0)
    """Channels of each head; 0: ``hidden_size`` / ``num_heads``."""
    intermediate_size: int = Field(default=0, ge=0)
    """Width of the feed-forward layer; 0: 4 times ``hidden_size`` for ``gpt2``, and for ``llama`` 8/3 of it,
    rounded up to a multiple of 64."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary position embedding of ``llama``."""
    nope_layers: tuple[int, ...] = ()
    """Layers without rotary positions, counted from 0, such as ``[3, 7, 11]`` (SmolLM3)."""
    qk_norm: bool = False
    """Normalize the queries and keys of each head, which keeps attention scores from growing (Qwen3)."""
    sliding_window: int = Field(default=0, ge=0)
    """Tokens to which a token attends, itself included (Mistral); 0: all before it in its document."""
    global_layers: tuple[int, ...] = ()
    """Layers that attend to all tokens in spite of ``sliding_window``, counted from 0."""
    attention_softcap: float = Field(default=0.0, ge=0)
    """Bound of attention scores by a hyperbolic tangent (Gemma 2: 50); 0: none. Slower, and on CPUs
    all scores are stored."""
    logit_softcap: float = Field(default=0.0, ge=0)
    """The same for logits (Gemma 2: 30)."""
    norm_epsilon: float = Field(default=1e-5, gt=0)
    """Epsilon of the norms."""
    tied: bool = True
    """Share one matrix between input and output embeddings."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability in training, of embeddings, attention weights, and what attention and feed-forward
    layers add to the residual stream."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelConfig":
        size, rest = (self.head_size, 0) if self.head_size else divmod(self.hidden_size, self.num_heads)
        if rest or self.num_heads % self.num_kv_heads or size % 2:
            raise PydanticCustomError(
                "head_sizes",
                "hidden_size {hidden_size}, num_heads {num_heads}, num_kv_heads {num_kv_heads}, head_size "
                "{head_size}: num_heads must divide hidden_size into an even head size unless head_size is "
                "set, and num_kv_heads must divide num_heads; change one of them",
                self.model_dump(include={"hidden_size", "num_heads", "num_kv_heads", "head_size"}),
            )
        if self.architecture == "gpt2" and self.num_kv_heads != self.num_heads:
            raise PydanticCustomError(
                "gpt2_heads",
                "num_kv_heads = {num_kv_heads}: gpt2 has no grouped-query attention; set it to num_heads, "
                "{num_heads}",
                self.model_dump(include={"num_heads", "num_kv_heads"}),
            )
        return self

    @model_validator(mode="after")
    def _layers_exist(self) -> "ModelConfig":
        for key, needs, given in (
            ("nope_layers", 'architecture = "llama"', self.architecture == "llama"),
            ("global_layers", "sliding_window", self.sliding_window > 0),
        ):
            layers: tuple[int, ...] = getattr(self, key)
            exist = set(layers) <= set(range(self.num_layers)) and len(set(layers)) == len(layers)
            if layers and not (given and exist):
                raise PydanticCustomError(
                    "layers",
                    "{key} = {layers}: must be from 0 to {last}, each once, and needs {needs}; correct it",
                    {"key": key, "layers": str(list(layers)), "last": self.num_layers - 1, "needs": needs},
                )
        return self


class MixturePhaseConfig(Section):
    """Weights of the sources from a step on, as for an annealing phase. Phases are in ascending order."""

    from_step: int = Field(ge=2)
    """First step with these weights."""
    mixture: Weights = Field(min_length=1)
    """Relative weight of each source that is drawn from."""


class BatchSizePhaseConfig(Section):
    """Sequences per step from a step on, as for a batch-size warm-up. Phases are in ascending order."""

    from_step: int = Field(ge=2)
    """First step with this batch size."""
    batch_size: int = Field(ge=1)
    """Sequences per optimizer step, over all processes; a multiple of the number of processes."""


class EditConfig(Section):
    """Rows of a shard, or documents, that training leaves out from a step on, such as for a takedown.

    They become padding where they are, so everything else is trained on at the same steps as without the
    edit. Set one of ``file``, ``documents`` and ``documents_file``. When a run is resumed, only edits that
    begin after its checkpoint may be added, changed or removed.
    """

    from_step: int = Field(default=1, ge=1)
    """First step without the rows or documents."""
    file: str = ""
    """Shard file of the training split, below the shards' folder: ``train/web/part-00007.arrow``."""
    rows: tuple[int, ...] = ()
    """First and last row to leave out of ``file``, counted from 0; empty: all of its rows."""
    documents: tuple[str, ...] = ()
    """Documents to leave out, by their ids or URLs as in ``documents/``."""
    documents_file: str = ""
    """Text file with the id or URL of a document on each line; lines that begin with ``#`` are comments."""

    @model_validator(mode="after")
    def _removes_something(self) -> Self:
        given = [name for name in ("file", "documents", "documents_file") if getattr(self, name)]
        if len(given) != 1:
            raise PydanticCustomError(
                "edit_target",
                "{given}: an edit must have one of file, documents and documents_file; write one for each",
                {"given": " and ".join(given) or "nothing to leave out"},
            )
        ascending = list(self.rows) == sorted(self.rows) and all(row >= 0 for row in self.rows)
        if self.rows and not (self.file and len(self.rows) == 2 and ascending):
            raise PydanticCustomError(
                "edit_rows",
                "rows = {rows}: must be the first and the last row of a file; write file = … and rows = "
                "[1200, 1300]",
                {"rows": str(list(self.rows))},
            )
        return self


class TrainConfig(Section):
    """Training: optimizer, batches, validation and checkpoints."""

    steps: int = Field(default=1000, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=64, ge=1)
    """Sequences per optimizer step, over all processes; a multiple of the number of processes."""
    batch_size_schedule: tuple[BatchSizePhaseConfig, ...] = ()
    """Other batch sizes from a step on, as for a batch-size warm-up: ``[{from_step = 2001, batch_size =
    128}]``, in ascending order. The learning rate stays as it is."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Sequences per forward pass of one process."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon for the matrices of the blocks, AdamW for embeddings, output layer, norms and biases.
    Its updates are scaled to the size of AdamW's, so that one learning rate and weight decay serve both."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    """Learning rate after the warm-up. ``cosine`` and ``linear`` fall to the end of the run; ``wsd`` stays
    constant and falls linearly in the last ``decay_share`` of the steps."""
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)
    """Learning rate at the end of a falling schedule, as a fraction of ``learning_rate``."""
    decay_share: float = Field(default=0.2, gt=0, le=1)
    """Share of the steps in which the schedule ``wsd`` falls."""
    warmup_steps: int = Field(default=-1, ge=-1)
    """Steps of linear warm-up from 0 to ``learning_rate``; -1: a tenth of all steps, at most 100."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Weight decay of matrices; vectors have none."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay rate of the first moment."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's decay rate of the second moment."""
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's decay rate of the momentum."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Norm to which gradients are clipped."""
    z_loss: float = Field(default=0.0, ge=0)
    """Weight of the squared logarithm of the softmax's denominator, which is added to the minimized loss so
    that logits stay small; PaLM has 1e-4. Reported losses do not contain it."""
    spike_sigmas: float = Field(default=6.0, ge=0)
    """Standard deviations above the mean of the last 128 steps, from which on the loss or gradient norm of a
    step is a spike, so that the step does not change the weights; 0: only values that are not finite are."""
    max_skipped_steps: int = Field(default=10, ge=0)
    """Number of steps in a row that may be skipped for that; one more ends the run."""
    mixture: Weights = Field(default={})
    """Relative weight of each source, such as ``{wikipedia = 2, commoncrawl = 1}``; empty: by its number of
    sequences."""
    mixture_schedule: tuple[MixturePhaseConfig, ...] = ()
    """Other weights from a step on, as for an annealing phase: ``[{from_step = 9001, mixture = {wikipedia =
    1}}]``, in ascending order."""
    read_ahead: int = Field(default=4, ge=1)
    """Smallest number of batches that are read before they are needed."""
    seed: int = Field(default=1, ge=0)
    """Seed of the initial weights and of the order of the data."""
    validate_every: int = Field(default=100, ge=1)
    """Steps between validations."""
    validation_sequences: int = Field(default=256, ge=1)
    """Sequences of a validation, the same each time."""
    sample_prompts: tuple[str, ...] = ()
    """Texts that the model continues at each validation, in fine-tuning messages that it answers; the most
    likely token is chosen each time."""
    sample_tokens: int = Field(default=64, ge=1)
    """Tokens of such a continuation, at most."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Most recent checkpoints to keep."""
    keep_every: int = Field(default=0, ge=0)
    """Also keep all checkpoints whose step is a multiple of this; 0: none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of activations. ``auto``: bfloat16 on CUDA, float32 on CPU."""
    compile: bool = False
    """Compile each block with ``torch.compile``."""
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    """Recompute activations in the backward pass: less memory, more computation. ``full``: all of a block's;
    ``selective``: all but the results of attention and of every second matrix product."""
    shard_processes: int = Field(default=0, ge=0)
    """Number of processes over which weights, gradients and optimizer states are sharded, a divisor of all
    (HSDP); groups of that many hold replicas. 0: all processes (FSDP)."""
    loggers: tuple[Literal["wandb", "mlflow"], ...] = ()
    """Services that get the metrics and samples as well, besides the files and TensorBoard."""
    profile_steps: tuple[int, ...] = ()
    """First and last step of which the first process writes a trace of torch.profiler; empty: none."""

    @model_validator(mode="after")
    def _profiled_steps_ascend(self) -> Self:
        steps = self.profile_steps
        last = self.steps or max(steps, default=0)  # fine-tuning may count epochs
        if steps and not (len(steps) == 2 and 1 <= steps[0] <= min(steps[1], last)):
            raise PydanticCustomError(
                "profile_steps",
                "profile_steps = {steps}: must be the first and the last step to profile, the first among "
                "those of the run; write [10, 12]",
                {"steps": str(list(steps))},
            )
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps > self.steps > 0:
            raise PydanticCustomError(
                "warmup_steps",
                "warmup_steps = {warmup}: longer than the run of {steps} steps; lower it, or leave it out",
                {"warmup": self.warmup_steps, "steps": self.steps},
            )
        return self

    @model_validator(mode="after")
    def _phases_ascend(self) -> Self:
        for key, phases in (
            ("mixture_schedule", self.mixture_schedule),
            ("batch_size_schedule", self.batch_size_schedule),
        ):
            steps = [phase.from_step for phase in phases]
            if sorted(set(steps)) != steps:
                raise PydanticCustomError(
                    "phases",
                    "{key}: from_step is {steps}, but must ascend; sort the phases",
                    {"key": key, "steps": ", ".join(map(str, steps))},
                )
        return self


class PretrainConfig(TrainConfig):
    """Pre-training."""

    name: str = DEFAULT_RUN
    """Name of the run: the folder below ``output.path`` that it is written to. Runs with different names can
    share the shards and the tokenizer."""
    shards: str = ""
    """Output folder of another run, whose shards, tokenizer and documents are used; empty:
    ``output.path``."""
    init_from: str = ""
    """Model to start from instead of fresh weights (continued pre-training): the folder of a run or of one
    of its checkpoints, a Hugging Face folder, a GGUF file or an adapter. Its architecture is used, and the
    shards must be packed with its tokenizer."""
    init_optimizer: bool = False
    """Start with the state of the optimizer, too, if ``init_from`` is a run or a checkpoint."""
    shuffle_block: int = Field(default=0, ge=0)
    """0: all rows of a source are shuffled. Otherwise the rows per block: blocks of consecutive rows are
    shuffled, then the rows of ``shuffle_window`` blocks, so that few blocks of remote shards are needed at a
    time."""
    shuffle_window: int = Field(default=64, ge=1)
    """Blocks whose rows are shuffled together, with ``shuffle_block``. As many rows are read ahead, at
    most 67 million tokens for a process."""
    shard_cache: ByteSize = Field(default=100 << 30, ge=0)
    """Size of the cache on local disk for blocks of remote shards, which the processes of a machine share. It
    is smaller where less than a tenth of the disk would be free."""
    edits: tuple[EditConfig, ...] = ()
    """Rows and documents that are left out from a step on."""

    @model_validator(mode="after")
    def _optimizer_has_a_source(self) -> Self:
        if self.init_optimizer and not self.init_from:
            raise PydanticCustomError(
                "init_optimizer",
                "init_optimizer = true: there is no init_from; name a run or a checkpoint, or leave it out",
            )
        return self

    @model_validator(mode="after")
    def _name_is_a_folder(self) -> Self:
        if not _RUN_NAME.fullmatch(self.name) or self.name in OTHER_OUTPUTS:
            raise PydanticCustomError(
                "run_name",
                "name = {name}: must be the name of one folder (letters, digits, ., -, _), and none of "
                "{others}; choose another",
                {"name": self.name, "others": ", ".join(OTHER_OUTPUTS)},
            )
        return self


class LoraConfig(Section):
    """Low-rank adapters (LoRA), for ``finetune.method = "lora"``."""

    rank: int = Field(default=16, ge=1)
    """Rank of the adapter matrices."""
    alpha: float = Field(default=32.0, gt=0)
    """Scale: the output of an adapter is multiplied by ``alpha`` / ``rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability of an adapter's input in training."""
    targets: tuple[Literal["query", "key", "value", "output", "gate", "up", "down"], ...] = ()
    """Linear layers to adapt; empty: all. GPT-2 has no ``gate``."""


class FinetuneConfig(TrainConfig):
    """Supervised fine-tuning on conversations.

    Has all keys of ``[train]`` but those about shards and ``edits``, some with other defaults.
    """

    model: str = ""
    """Model to start from: the folder of a run, a Hugging Face folder, a GGUF file or an adapter."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters only."""
    lora: LoraConfig = LoraConfig()
    files: tuple[str | tuple[str, str], ...] = ()
    """Training data: JSONL files, or pairs of text files whose lines correspond. Plain or ``.gz``, local or
    remote."""
    validation_files: tuple[str | tuple[str, str], ...] = ()
    """Validation data in the same formats; empty: ``validation_share`` of the examples."""
    validation_share: float = Field(default=0.02, ge=0, lt=1)
    """Fraction of the examples, chosen by a hash of their content, that is used for validation."""
    preset: str = "chat"
    """How a record becomes a conversation: the name of a file in ``train/data/presets``, or the path of a
    ``.toml`` file of your own."""
    fields: dict[str, str] = Field(default={})
    """Names of the preset's fields in the records, where they differ: ``{source = "en"}``."""
    values: dict[str, str] = Field(default={})
    """Values that the preset asks for: ``{target_language = "German"}``."""
    learn: Literal["assistant", "all"] = "assistant"
    """Tokens that the loss counts: those of the assistant, end-of-turn tokens included, or all."""
    sequence_length: int = Field(default=1024, ge=8)
    """Tokens of a packed row."""
    too_long: Literal["drop", "truncate"] = "drop"
    """Treatment of examples that are longer than a row."""
    steps: int = Field(default=0, ge=0)
    """Optimizer steps; 0: as many as ``epochs`` require."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the examples, if ``steps`` is 0."""
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=0.0, ge=0)
    """Peak learning rate; 0: a tenth of the rate that the model was pre-trained with, and if that is unknown,
    3e-5, for adapters 3e-4."""
    weight_decay: float = Field(default=0.0, ge=0)
    validation_sequences: int = Field(default=64, ge=1)
