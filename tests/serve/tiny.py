"""A tiny random chat model in a folder, and the server as users start it."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from openai import OpenAI
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from core.tokenizer.huggingface import HuggingFaceTokenizer, TokenizerSettings
from model.config import TransformerConfig
from model.formats import huggingface
from model.transformer import Transformer
from tests.servers.process import free_port, running, wait_until

CONTEXT = 3000
END = "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_model(folder: Path) -> None:
    """A model that greedily writes letters without end: about a token in a millisecond."""
    tokenizer = letters()
    tokenizer.write(str(folder))
    torch.manual_seed(1)
    config = TransformerConfig(
        tokenizer.vocabulary_size, num_layers=2, hidden_size=32, num_heads=4, num_kv_heads=2, intermediate_size=64, tied=False,
        context=CONTEXT,
    )  # fmt: skip
    model = Transformer(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    # Nothing but letters and spaces is ever likely.
    assert model.output is not None
    with torch.no_grad():
        plain = [token for letter in "abcdefghijklmnopqrstuvwxyz" for token in tokenizer.encode(letter)]
        plain += tokenizer.encode(" ")
        others = torch.ones(config.vocabulary_size, dtype=torch.bool)
        others[plain] = False
        model.output.weight[others] = 0.0
    huggingface.write(folder, config, model.state_dict(), {"eos_token_id": tokenizer.eos})


def letters() -> HuggingFaceTokenizer:
    """Every byte is a token; marks of a conversation besides."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    definition = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    definition.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    definition.decoder = decoders.ByteLevel()
    definition.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_start|>", END)])
    return HuggingFaceTokenizer(
        definition.to_str(), TokenizerSettings({"eos_token": END}, chat_template=TEMPLATE)
    )


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    name: str

    def client(self, key: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:
            return str(response.read().decode())

    def metric(self, name: str) -> float:
        """The value of one line of ``/metrics``."""
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(f"gristmill_{name} ")]
        return float(lines[0].rpartition(" ")[2])

    def is_ready(self) -> bool:
        try:
            return bool(json.loads(self.get("/health/ready"))["status"] == "ready")
        except OSError:
            return False


@contextmanager
def serving(model: Path, log: Path, *options: str, keys: str = "") -> Iterator[Served]:
    """``python -m serve`` for the length of the block."""
    port = free_port()
    command = [sys.executable, "-m", "serve", "--model", str(model), "--port", str(port), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    environment |= {"GRISTMILL_API_KEYS": keys} if keys else {}
    with running(command, log, environment) as process:
        served = Served(f"http://127.0.0.1:{port}", process, log, model.name)
        wait_until(served.is_ready, process, log, 60)
        yield served
