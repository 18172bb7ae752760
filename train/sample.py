"""``python -m train.sample --model DIR --prompt "Once upon"``: continue a prompt in the terminal."""

from argparse import Namespace
from collections.abc import Iterator, Sequence

import torch

from core import config as configuration
from core import errors
from core.config import bounded
from core.tokenizer import Tokenizer
from model import loading
from model.generation import Sampling, generate
from model.transformer import Transformer
from train.samples import prompt_ids


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse_arguments(arguments)
    check = configuration.required(*([] if options.model else ["output.path"]))
    config = configuration.from_options(options, check)
    if config is None:
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source = loading.find(options.model) if options.model else loading.find_run_of(config)
    loaded = source.load(device)
    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
    print(options.prompt, end="", flush=True)
    for text in complete(
        loaded.model, loaded.tokenizer, options.prompt, options.tokens, sampling, loaded.stop
    ):
        print(text, end="", flush=True)
    print()


def complete(
    model: Transformer,
    tokenizer: Tokenizer,
    prompt: str,
    max_tokens: int,
    sampling: Sampling,
    stop: frozenset[int],
) -> Iterator[str]:
    """Yield the text after ``prompt`` in parts, up to a token in ``stop`` or ``max_tokens`` tokens."""
    ids = prompt_ids(tokenizer, prompt)
    return stream_text(tokenizer, generate(model, ids, max_tokens, sampling, stop))


def stream_text(tokenizer: Tokenizer, tokens: Iterator[int]) -> Iterator[str]:
    """Decode tokens incrementally; a character of several tokens is held back until it is complete."""
    ids: list[int] = []
    shown = text = ""
    for token in tokens:
        ids.append(token)
        text = tokenizer.decode(ids)
        complete_text = text.rstrip("\ufffd")
        yield complete_text[len(shown) :]
        shown = complete_text
    yield text[len(shown) :]


def _parse_arguments(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Continue a prompt with a model.")
    parser.add_argument(
        "--model", default="", help="model in any format of model.export; default: the run in --config"
    )
    parser.add_argument("--prompt", default="", help="text to continue; empty: start a new document")
    parser.add_argument("--tokens", type=bounded(int, 1), default=200, help="maximum number (200)")
    parser.add_argument("--temperature", type=bounded(float, 0), default=0.8, help="0 is greedy (0.8)")
    parser.add_argument("--top-k", type=bounded(int, 0), default=0, help="0: no limit")
    parser.add_argument("--top-p", type=bounded(float, 0, 1), default=0.95, help="in (0, 1] (0.95)")
    parser.add_argument("--seed", type=bounded(int, 0), default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    errors.run(main)
