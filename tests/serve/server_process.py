"""A tiny random chat model, and ``python -m serve`` with it as a child process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.huggingface import HuggingFaceTokenizer
from model.config import TransformerConfig
from model.formats import huggingface
from model.transformer import Transformer
from tests.serve.client import ServerUrl
from tests.servers.process import free_port, running, wait_until

CONTEXT = 3000
END = "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_model(folder: Path) -> None:
    """Write a model that greedily generates letters without end, about one per millisecond."""
    tokenizer = byte_tokenizer()
    tokenizer.write(str(folder))
    torch.manual_seed(1)
    config = TransformerConfig(
        tokenizer.vocabulary_size, num_layers=2, hidden_size=32, num_heads=4, num_kv_heads=2,
        intermediate_size=64, tied=False, context=CONTEXT,
    )  # fmt: skip
    model = Transformer(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    # Give tokens other than letters and spaces the same low logit.
    assert model.output is not None
    with torch.no_grad():
        likely = [token for letter in "abcdefghijklmnopqrstuvwxyz" for token in tokenizer.encode(letter)]
        likely += tokenizer.encode(" ")
        unlikely = torch.ones(config.vocabulary_size, dtype=torch.bool)
        unlikely[likely] = False
        model.output.weight[unlikely] = 0.0
    huggingface.write(folder, config, model.state_dict(), {"eos_token_id": tokenizer.eos})


def byte_tokenizer() -> HuggingFaceTokenizer:
    """Return a tokenizer with one token per byte, two special tokens and a chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    definition = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    definition.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    definition.decoder = decoders.ByteLevel()
    definition.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_start|>", END)])
    return HuggingFaceTokenizer(
        definition.to_str(), TokenizerSettings({"eos_token": END}, chat_template=TEMPLATE)
    )


@dataclass(frozen=True)
class ServerProcess(ServerUrl):
    """A running ``python -m serve``."""

    process: subprocess.Popen[bytes]
    log: Path
    """Its standard output and error."""
    model: str


@contextmanager
def server_process(model: Path, log: Path, *options: str, keys: str = "") -> Iterator[ServerProcess]:
    """Run ``python -m serve`` during the block, from when it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "serve", "--model", str(model), "--port", str(port), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    environment |= {"GRISTMILL_API_KEYS": keys} if keys else {}
    with running(command, log, environment) as process:
        server = ServerProcess(f"http://127.0.0.1:{port}", process, log, model.name)
        wait_until(server.is_ready, process, log, 300)
        yield server
