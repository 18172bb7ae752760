"""``python -m train.estimate --config FILE.toml``: memory, time and cost of pre-training, before it starts.

Sequence length and vocabulary are those of the shards in ``output.path`` if they exist, else those of
``[pack]`` and ``[tokenizer]``. Nothing is read but the configuration and the manifest of the shards.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core import config as configuration
from core import errors, manifest, storage
from core.config import Config, TrainConfig, bounded
from core.errors import ConfigError
from core.messages import duration
from core.run_paths import data_folder
from core.shards import Shards
from model.config import TransformerConfig
from model.cross_entropy import CHUNK_TOKENS
from model.loading import load
from train.architecture import model_config
from train.data.batch_sizes import BatchSizes
from train.devices import Gpu, find_gpu, known_gpus
from train.initial_model import adapt_config
from train.training_run import check_processes

GIB = 1 << 30
MFU = 0.35
"""Model FLOPs utilization that is assumed: torchtitan's Llama 3.1 8B has .33 on H100, .39 when compiled."""
STATE_BYTES = 16
"""Per parameter: weight, gradient and AdamW's two moments, in float32."""
WEIGHT_BYTES = 4
"""Per parameter that is not trained: the weight in float32."""
MUON_STATE_BYTES = 12
"""Per element of a matrix of the blocks with Muon, which has one moment."""
STATES = "weights, gradients, moments"


@dataclass(frozen=True, slots=True)
class Plan:
    """Model, training settings and number of processes of a run."""

    model: TransformerConfig
    train: TrainConfig
    sequence_length: int
    processes: int
    element_bytes: int
    """Bytes of an activation: 2 for bfloat16, 4 for float32."""
    adapter_parameters: int = 0
    """Parameters of adapters, if only they are trained."""

    @property
    def micro_batch_tokens(self) -> int:
        """Tokens of one forward pass of a process."""
        phases = BatchSizes.of(self.train).phases(range(1, self.train.steps + 1))
        rows = max(rows for _, rows in phases) // self.processes
        return min(self.train.micro_batch_size, rows) * self.sequence_length

    @property
    def tokens(self) -> int:
        """Tokens of the whole run, padding included."""
        return BatchSizes.of(self.train).first_position(self.train.steps + 1) * self.sequence_length

    @property
    def steps_and_sizes(self) -> str:
        """Number of steps and their sizes in tokens, as text."""
        (_, rows), *later = BatchSizes.of(self.train).phases(range(1, self.train.steps + 1))
        text = f"{self.train.steps:,} steps of {rows * self.sequence_length:,} tokens"
        for phase, size in later:
            text += f", {size * self.sequence_length:,} from step {phase.start:,}"
        return text


def memory(plan: Plan) -> dict[str, int]:
    """Return the bytes of each part of a process's memory at its peak, the start of the backward pass.

    States are sharded over all processes (FSDP2) or ``shard_processes`` of them; the weights outside the
    blocks, and those of two blocks (of all, where a process holds the whole model), are gathered, in the
    precision of the computation; gradients of a block are gathered and reduced in float32. Logits are those
    of a chunk; attention has a mask only with dropout. The CUDA context and the allocator's fragmentation,
    some GiB, come on top.
    """
    model, tokens = plan.model, plan.micro_batch_tokens
    outside = model.num_parameters - model.num_layers * model.block_parameters
    block = tokens * block_activations(model, plan.element_bytes)
    stream = tokens * model.hidden_size * plan.element_bytes
    kept = model.num_layers * block
    if plan.train.activation_checkpointing == "full":
        kept = model.num_layers * stream + block
    elif plan.train.activation_checkpointing == "selective":
        kept = model.num_layers * tokens * selected_activations(model, plan.element_bytes) + block
    logit_bytes = 10 if plan.element_bytes == 2 else 8  # logits and their logarithms, then gradients instead
    logits = min(tokens, CHUNK_TOKENS) * model.vocabulary_size
    shards = plan.train.shard_processes or plan.processes
    gathered = 2 if shards > 1 else model.num_layers
    return {
        STATES: _state_bytes(plan) // shards,
        "gathered weights": plan.element_bytes * (outside + gathered * model.block_parameters),
        "gradients of a block": (plan.element_bytes + 4) * model.block_parameters,
        "activations": kept + 2 * stream,
        "attention mask": tokens * plan.sequence_length if model.dropout else 0,
        "logits": logit_bytes * logits,
        "gradient of the output layer": 4 * model.vocabulary_size * model.hidden_size,
    }


def block_activations(model: TransformerConfig, element_bytes: int) -> int:
    """Return the bytes per token that a block keeps for its backward pass.

    Inputs and outputs of all norms; query, key, value and the attended values; in the feed-forward layer
    the inputs and results of the activation. Norms and attention keep some float32 numbers, dropout its
    masks.
    """
    heads = 2 * (model.num_heads + model.num_kv_heads) * model.head_size
    if model.qk_norm:
        heads += (model.num_heads + model.num_kv_heads) * model.head_size
    feed_forward = (4 if model.is_gated else 2) * model.intermediate_size
    elements = (6 if model.post_norms else 4) * model.hidden_size + heads + feed_forward
    num_norms = (4 if model.post_norms else 2) + model.qk_norm * (model.num_heads + model.num_kv_heads)
    statistics = num_norms * (1 if model.norm == "rms" else 2) + model.num_heads
    masks = 2 * model.hidden_size if model.dropout else 0
    return elements * element_bytes + 4 * statistics + masks


def selected_activations(model: TransformerConfig, element_bytes: int) -> int:
    """Return the bytes per token that a block keeps with selective activation checkpointing.

    Its input; keys; attended values, with the logarithms of their sums in float32; the results of attention;
    and of the feed-forward layer the larger factor of SwiGLU, or the result.
    """
    feed_forward = model.intermediate_size if model.activation == "swiglu" else model.hidden_size
    heads = (model.num_heads + model.num_kv_heads) * model.head_size
    return (2 * model.hidden_size + heads + feed_forward) * element_bytes + 4 * model.num_heads


def _state_bytes(plan: Plan) -> int:
    """Return the bytes of weights, gradients and moments, over all shards."""
    if plan.adapter_parameters:
        return STATE_BYTES * plan.adapter_parameters + WEIGHT_BYTES * plan.model.num_parameters
    matrices = plan.model.num_layers * plan.model.block_matrices if plan.train.optimizer == "muon" else 0
    return STATE_BYTES * plan.model.num_parameters - (STATE_BYTES - MUON_STATE_BYTES) * matrices


def seconds(plan: Plan, gpu: Gpu, mfu: float) -> float:
    """Return the time of all steps at a model FLOPs utilization of ``mfu``."""
    flops = plan.model.training_flops(plan.sequence_length) * plan.tokens
    return flops / (gpu.flops * plan.processes * mfu)


def describe(plan: Plan, gpu: Gpu, mfu: float, price: float | None) -> Iterator[str]:
    """Yield the lines of the estimate; ``price`` is that of a GPU hour."""
    model, length = plan.model, plan.sequence_length
    yield (
        f"model   {model.num_parameters:,} parameters, {model.num_layers} blocks of "
        f"{model.block_parameters:,}; {model.training_flops(length) / 1e9:,.2f} GFLOPs per token at "
        f"{length:,} tokens"
    )
    yield (
        f"data    {plan.steps_and_sizes}: "
        f"{plan.tokens / 1e6:,.1f} million, {plan.tokens / model.num_parameters:,.1f} per parameter"
    )
    parts = memory(plan)
    precision = "bfloat16" if plan.element_bytes == 2 else "float32"
    total = sum(parts.values()) / GIB
    yield (
        f"memory  of each {gpu.name}, {precision}, micro-batches of {plan.micro_batch_tokens:,} tokens: "
        f"{total:,.1f} of {gpu.memory} GiB"
    )
    yield from (f"        {name:29}{size / GIB:9,.2f} GiB" for name, size in parts.items())
    if total > gpu.memory:
        yield f"        does not fit: {_remedy(plan, parts)}"
    elapsed = seconds(plan, gpu, mfu)
    hours = plan.processes * elapsed / 3600
    yield (
        f"time    {plan.tokens / elapsed:,.0f} tokens/s on {plan.processes} × {gpu.name} at {mfu:.0%} MFU: "
        f"{duration(elapsed)} ({elapsed / 86400:,.1f} days)"
    )
    paid = "" if price is None else f", {hours * price:,.2f} at {price:g} an hour"
    yield f"cost    {hours:,.1f} GPU hours{paid}"


def _remedy(plan: Plan, parts: Mapping[str, int]) -> str:
    """Return what would make the largest part of the memory smaller."""
    largest = max(parts, key=lambda name: parts[name])
    if largest == STATES:
        return "use more GPUs"
    if plan.micro_batch_tokens > plan.sequence_length:
        return "lower train.micro_batch_size"
    if largest == "activations" and plan.train.activation_checkpointing != "full":
        return "set train.activation_checkpointing=full"
    return "use GPUs with more memory, or a shorter pack.sequence_length"


def make_plan(config: Config, processes: int) -> Plan:
    """Return the plan of a configuration.

    Raises as :func:`check_processes`.
    """
    check_processes("train", config.train, processes, "--gpus")
    vocabulary, length = config.tokenizer.vocabulary_size, config.pack.sequence_length
    folder = storage.join(data_folder(config), "shards")
    if data_folder(config) and storage.exists(storage.join(folder, manifest.NAME)):
        facts = Shards.open(folder, verify=False).facts
        vocabulary, length = facts.vocabulary_size, facts.sequence_length
    model = model_config(config, vocabulary, length)
    if start := config.train.init_from:
        model = adapt_config(config.model, start, load(start).model.config, vocabulary, length)
    element_bytes = 4 if config.train.precision == "float32" else 2
    return Plan(model, config.train, length, processes, element_bytes)


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse(arguments)
    config = configuration.from_options(options)
    if config is None:
        return
    if not (gpu := find_gpu(options.gpu)):
        raise ConfigError(
            f"--gpu {options.gpu}: not known; name one of {', '.join(gpu.name for gpu in known_gpus())}"
        )
    for line in describe(make_plan(config, options.gpus), gpu, options.mfu, options.price):
        print(line)


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Estimate memory, time and cost of pre-training.")
    parser.add_argument("--gpus", type=bounded(int, 1), default=8, metavar="N", help="number of GPUs (8)")
    parser.add_argument("--gpu", default="NVIDIA H100", help="kind of GPU, as CUDA names it (NVIDIA H100)")
    parser.add_argument(
        "--mfu", type=bounded(float, 0.01, 1), default=MFU, help=f"model FLOPs utilization ({MFU})"
    )
    parser.add_argument("--price", type=bounded(float, 0), metavar="P", help="price of a GPU hour")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    errors.run(main)
