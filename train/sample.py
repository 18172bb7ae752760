"""``python -m train.sample --model DIR --prompt "Once upon"``: continue a prompt in the terminal."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence

import torch

from core import config as configuration
from core import errors
from core.tokenizer import Tokenizer
from model.generation import Sampling, generate
from model.loading import load
from model.transformer import Transformer


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    options = _parse(arguments)
    config = configuration.from_options(options)
    if config is None:
        return
    if not options.model:
        configuration.require(config, "output.path")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load(options.model or config.output.path, device)
    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
    print(options.prompt, end="", flush=True)
    for piece in complete(loaded.model, loaded.tokenizer, options.prompt, options.tokens, sampling):
        print(piece, end="", flush=True)
    print()


def complete(
    model: Transformer, tokenizer: Tokenizer, prompt: str, tokens: int, sampling: Sampling
) -> Iterator[str]:
    """The text that follows ``prompt``, piece by piece, to the document's end or for ``tokens`` tokens."""
    ids = [*([] if tokenizer.bos is None else [tokenizer.bos]), *tokenizer.encode(prompt)] or [tokenizer.eos]
    return text_pieces(
        tokenizer, generate(model, ids, tokens, sampling, stop_tokens=frozenset({tokenizer.eos}))
    )


def text_pieces(tokenizer: Tokenizer, tokens: Iterator[int]) -> Iterator[str]:
    """The text of tokens as they come; a character spread over several is held back until it is whole."""
    drawn: list[int] = []
    told = text = ""
    for token in tokens:
        drawn.append(token)
        text = tokenizer.decode(drawn)
        whole = text.rstrip("\ufffd")
        yield whole[len(told) :]
        told = whole
    yield text[len(told) :]


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Continue a prompt with a model.")
    parser.add_argument(
        "--model", default="", help="any that model.export takes; without: the run in output.path"
    )
    parser.add_argument("--prompt", default="", help="text to continue; empty: a document from its beginning")
    parser.add_argument("--tokens", type=_number(int, 1), default=200, help="how many at most (200)")
    parser.add_argument("--temperature", type=_number(float, 0), default=0.8, help="0 is greedy (0.8)")
    parser.add_argument("--top-k", type=_number(int, 0), default=0, help="0: no limit")
    parser.add_argument("--top-p", type=_number(float, 0, 1), default=0.95, help="in (0, 1] (0.95)")
    parser.add_argument("--seed", type=_number(int, 0), default=0)
    return parser.parse_args(arguments)


def _number(kind: type, least: float, most: float = float("inf")) -> Callable[[str], float]:
    """A parser of numbers within bounds, for argparse."""

    def parse(text: str) -> float:
        value: float = kind(text)
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text} lies outside {least} … {most}; give a number within")
        return value

    return parse


if __name__ == "__main__":
    errors.run(main)
