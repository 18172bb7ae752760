"""Samples: texts that the model under training continues, the same ones at each validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from core.config import TrainConfig
from core.errors import ConfigError
from core.tokenizer import Tokenizer
from model.config import TransformerConfig
from model.transformer import Transformer

FILE = "samples.jsonl"
SAMPLES = "samples"
"""Key of samples among the values of a step; they go to a file of their own."""


class Sample(NamedTuple):
    """A prompt and its continuation."""

    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts, their token ids, and where continuations end."""

    texts: Sequence[str] = ()
    ids: Sequence[Sequence[int]] = ()
    max_tokens: int = 1
    """Of a continuation."""
    stop: frozenset[int] = frozenset()
    """Tokens that end it."""

    @classmethod
    def of(
        cls,
        section: str,
        config: TrainConfig,
        model: TransformerConfig,
        encode: Callable[[str], Sequence[int]],
        stop: frozenset[int],
    ) -> "Prompts":
        """Return the prompts in ``config``, whose ids are those of ``encode``.

        Raises :class:`ConfigError` if one exceeds the model's context with its continuation.
        """
        all_ids = [encode(text) for text in config.sample_prompts]
        for number, ids in enumerate(all_ids, 1):
            if 0 < model.context < len(ids) + config.sample_tokens:
                raise ConfigError(
                    f"{section}.sample_tokens = {config.sample_tokens}: prompt {number} of sample_prompts "
                    f"has {len(ids)} tokens, and the context of the model is {model.context}; lower it or "
                    "shorten the prompt"
                )
        return cls(config.sample_prompts, all_ids, config.sample_tokens, stop)


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Return the ids of a text that a model is to continue; an empty one starts a document."""
    bos = [] if tokenizer.bos is None else [tokenizer.bos]
    return [*bos, *tokenizer.encode(prompt)] or [tokenizer.eos]


@torch.no_grad()
def complete(model: Transformer, tokenizer: Tokenizer, prompts: Prompts) -> list[Sample]:
    """Return greedy continuations of all prompts, as one batch.

    Called by all processes: each forward pass gathers the sharded weights. All compute the same, at any
    number of processes. Every pass is over whole sequences of one length: shorter ones are padded at their
    end, which causal attention does not see, so that a compiled model is compiled once.
    """
    device = model.embedding.weight.device
    starts = torch.tensor([len(ids) for ids in prompts.ids])
    tokens = torch.full((len(starts), int(starts.max()) + prompts.max_tokens), tokenizer.pad)
    for row, ids in zip(tokens, prompts.ids, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    tokens, rows, ends = tokens.to(device), torch.arange(len(starts), device=device), starts.to(device)
    for _ in range(prompts.max_tokens):
        tokens[rows, ends] = model(tokens, at=ends - 1).argmax(dim=-1)
        ends = ends + 1
    continued = zip(prompts.texts, tokens.tolist(), starts.tolist(), strict=True)
    return [
        Sample(text, _decode(tokenizer, row[start : start + prompts.max_tokens], prompts.stop))
        for text, row, start in continued
    ]


def _decode(tokenizer: Tokenizer, ids: Sequence[int], stop: frozenset[int]) -> str:
    """Return the text before the first token in ``stop``."""
    end = next((index for index, token in enumerate(ids) if token in stop), len(ids))
    return tokenizer.decode(ids[:end])
