"""Estimates, beside what autograd keeps here and what others have measured on GPUs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core import config
from core.config import TrainConfig
from core.errors import ConfigError
from model.config import TransformerConfig
from model.cross_entropy import CHUNK_TOKENS
from model.recomputation import ActivationCheckpointing
from model.transformer import Transformer
from train.devices import find_gpu
from train.estimate import (
    GIB,
    MFU,
    STATES,
    Plan,
    block_activations,
    describe,
    main,
    make_plan,
    memory,
    seconds,
    selected_activations,
)

CONFIGS = Path(__file__).parents[2] / "configs"
# On CPUs, RMSNorm is several operations, each of which keeps its input; on GPUs it is one.
LLAMA = TransformerConfig(100, 1, 64, 4, 4, 192, norm="layer")
QK_NORM = replace(LLAMA, qk_norm=True)
GPT2 = replace(LLAMA, intermediate_size=256).as_gpt2(64)


class Storages(TorchDispatchMode):
    """Records the storages of all results of operations."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._found[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        return result

    def kept_bytes(self, but: Iterable[torch.Tensor]) -> int:
        """Return the bytes of those that still exist, without ``but``."""
        others = {tensor.untyped_storage()._cdata for tensor in but}
        kept = (each for address, each in self._found.items() if address not in others)
        return sum(size for reference, size in kept if not reference.expired())


def kept_bytes(shape: TransformerConfig, dtype: torch.dtype, mode: ActivationCheckpointing = "none") -> int:
    """Return the bytes of all different tensors that a forward pass over 64 tokens keeps, without weights."""
    model = Transformer(shape).to(dtype)
    model.activation_checkpointing = mode
    with Storages() as storages:
        logits = model(torch.arange(64)[None])
    return storages.kept_bytes(but=[*model.parameters(), logits])


@pytest.mark.parametrize("shape", [LLAMA, replace(LLAMA, num_kv_heads=2), QK_NORM, GPT2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_those_that_autograd_keeps(shape: TransformerConfig, dtype: torch.dtype) -> None:
    three, two = (kept_bytes(replace(shape, num_layers=number), dtype) for number in (3, 2))
    assert 64 * block_activations(shape, dtype.itemsize) == pytest.approx(three - two, rel=0.05)
    selected, two = (kept_bytes(replace(shape, num_layers=number), dtype, "selective") for number in (3, 2))
    assert 64 * selected_activations(shape, dtype.itemsize) == selected - two
    inputs, two = (kept_bytes(replace(shape, num_layers=number), dtype, "full") for number in (3, 2))
    assert 64 * shape.hidden_size * dtype.itemsize == inputs - two


def plan(name: str, processes: int, *overrides: str) -> Plan:
    return make_plan(config.load(str(CONFIGS / f"{name}.toml"), overrides), processes)


def test_frozen_weights_have_no_gradients_or_moments() -> None:
    whole = plan("8b", 8)
    states = memory(replace(whole, adapter_parameters=40_000_000))[STATES]
    assert states == (4 * whole.model.num_parameters + 16 * 40_000_000) // 8


def test_llama_8b_is_as_torchtitan_measured_it() -> None:
    """Llama 3.1 8B, FSDP on H100 (torchtitan, benchmarks/llama3_h100_202412_torchtitan.md).

    With 8 and 128 GPUs: 82.4 and 67.0 GiB, of which only the sharded states differ; 5,762 tokens per second
    and GPU, which torchtitan calls 33 percent MFU; 39 percent are 6,667.
    """
    few, many = (memory(plan("8b", processes)) for processes in (8, 128))
    assert plan("8b", 8).model.num_parameters == 8_030_261_248
    assert (sum(few.values()) - sum(many.values())) / GIB == pytest.approx(82.4 - 67.0, rel=0.1)
    h100 = find_gpu("NVIDIA H100 80GB HBM3")
    assert h100
    for mfu, rate in ((0.33, 5762), (0.39, 6667)):
        made = plan("8b", 8)
        assert made.tokens / seconds(made, h100, mfu) / 8 == pytest.approx(rate, rel=0.03)


def test_times_are_as_nanochat_and_llm_c_measured_them() -> None:
    """With 8 GPUs, at the MFU that follows from their own count of FLOPs.

    nanochat's d24 (dev/LEADERBOARD.md, run 1): 16,704 steps of 524,288 tokens, 4.3308e19 FLOPs, 10,949
    seconds on H100, which is 50 percent; three of four layers have a window of half the context. llm.c's
    GPT-2 124M (discussion 481): 10 billion tokens in 90 minutes on A100, about 60 percent.
    """
    d24 = TransformerConfig(
        *(32_768, 24, 1536, 12, 12, 6144),
        tied=False,
        activation="gelu",
        sliding_window=1024,
        global_layers=tuple(range(3, 24, 4)),
    )
    nanochat = Plan(d24, TrainConfig(steps=16_704, batch_size=256), 2048, 8, 2)
    assert nanochat.model.training_flops(2048) * nanochat.tokens == pytest.approx(4.3308e19, rel=0.001)
    gpt2 = TransformerConfig(50_257, 12, 768, 12, 12, 3072).as_gpt2(1024)
    llm_c = Plan(gpt2, TrainConfig(steps=19_073, batch_size=512), 1024, 8, 2)
    h100, a100 = find_gpu("NVIDIA H100 80GB HBM3"), find_gpu("NVIDIA A100-SXM4-80GB")
    assert h100
    assert a100
    assert seconds(nanochat, h100, 0.5) == pytest.approx(10_949, rel=0.01)
    assert seconds(llm_c, a100, 0.6) == pytest.approx(90 * 60, rel=0.07)


def test_parts_of_the_memory_follow_the_settings() -> None:
    plain = memory(plan("135m", 8))
    assert memory(plan("135m", 16))[STATES] * 2 == plain[STATES]
    halved = memory(plan("135m", 8, "train.micro_batch_size=8"))
    assert halved["activations"] * 2 == plain["activations"]
    # Only dropout needs a mask of all pairs of tokens on GPUs.
    assert plain["attention mask"] == 0
    dropped = plan("135m", 8, "model.dropout=0.1")
    assert memory(dropped)["attention mask"] == dropped.micro_batch_tokens * dropped.sequence_length
    # A process cannot have more rows at a time than its share of the batch.
    assert memory(plan("135m", 64))["activations"] * 4 == plain["activations"]
    # Logits are computed in chunks, unless there are few.
    assert halved["logits"] == plain["logits"] == 10 * CHUNK_TOKENS * 49_152
    few = plan("135m", 8, "train.micro_batch_size=1", "pack.sequence_length=512")
    assert memory(few)["logits"] == 10 * 512 * 49_152
    selective, full = (
        memory(plan("135m", 8, f"train.activation_checkpointing={mode}"))["activations"]
        for mode in ("selective", "full")
    )
    assert selective < plain["activations"] / 2
    assert full < plain["activations"] / 8
    muon = plan("135m", 8, "train.optimizer=muon")
    saved = plain[STATES] - memory(muon)[STATES]
    assert saved * 8 == 4 * muon.model.num_layers * muon.model.block_matrices
    assert memory(plan("135m", 8, "train.shard_processes=4"))[STATES] == 2 * plain[STATES]
    full = memory(plan("135m", 8, "train.precision=float32"))
    assert full["activations"] == pytest.approx(2 * plain["activations"], rel=0.01)


def test_shards_say_how_long_rows_are(packed: Path) -> None:
    made = plan("135m", 8, f"output.path={packed}")
    assert (made.sequence_length, made.model.vocabulary_size) == (32, 320)


def test_the_estimate_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", str(CONFIGS / "8b.toml")]
    main([*arguments, "--gpus", "8", "--gpu", "NVIDIA A100-SXM4-80GB", "--price", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "model",
        "data",
        "memory",
        "time",
        "cost",
    ]
    assert "8,030,261,248 parameters" in lines[0]
    assert "at 2 an hour" in lines[-1]
    main([*arguments, "--gpus", "1"])
    assert "does not fit: use more GPUs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "3"], r"train\.batch_size = 64: must be a multiple of the number of processes, 3"),
        (
            ["--set", "train.shard_processes=3"],
            r"train\.shard_processes = 3: must divide the number of processes, 8",
        ),
        (["--gpus", "0"], "0 is not at least 1; use a number in that range"),
        (["--gpu", "Abacus"], "--gpu Abacus: not known; name one of NVIDIA A100"),
        (["--gpus", "many"], "invalid int value: 'many'"),
        (["--price", "inf"], "inf is not at least 0"),
        (["--mfu", "2"], "2 is not between 0.01 and 1"),
    ],
)
def test_impossible_plans_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main(arguments)


@pytest.mark.parametrize(("name", "gpus"), [("tiny", 1), ("135m", 8), ("1b", 64), ("8b", 128)])
def test_configurations_state_their_estimates(name: str, gpus: int) -> None:
    h100 = find_gpu("NVIDIA H100")
    assert h100
    lines = describe(plan(name, gpus), h100, MFU, None)
    text = (CONFIGS / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    command = next(number for number, line in enumerate(text) if "train.estimate" in line)
    assert text[command].endswith(f"--gpus {gpus}")
    summary = [f"#   {line}" for line in lines if not line.startswith(" ")]
    assert text[command + 1 : command + 1 + len(summary)] == summary


@pytest.mark.parametrize(("name", "gpus"), [("demo", 1), ("tiny", 1), ("135m", 8), ("1b", 64), ("8b", 128)])
def test_configurations_fit_the_gpus_that_they_name(name: str, gpus: int) -> None:
    h100 = find_gpu("NVIDIA H100")
    assert h100
    lines = "\n".join(describe(plan(name, gpus, "output.path=none"), h100, 0.35, None))
    assert "does not fit" not in lines
