"""Text from a model for many prompts at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from model.batching import Batcher
from model.generation import Sampling
from model.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one text is generated from, and where it ends."""

    ids: list[int]
    tokens: int
    """The longest text."""
    sampling: Sampling
    stop_tokens: frozenset[int]
    stop_texts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Running:
    number: int
    prompt: Prompt
    drawn: list[int] = field(default_factory=list)


def generate(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    slots: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """The text after each prompt, up to what stops it; ``slots`` of them are on the way at any time.

    Greedy texts do not depend on ``slots`` beyond float rounding, drawn ones have their own seeds.
    """
    batcher = Batcher(loaded.model, slots, max(len(each.ids) + each.tokens for each in prompts))
    # The longest first, so that the last ones on their own are short.
    waiting = sorted(range(len(prompts)), key=lambda number: len(prompts[number].ids))
    running: dict[int, _Running] = {}
    texts = [""] * len(prompts)
    while waiting or running:
        while waiting and batcher.num_free:
            number = waiting.pop()
            own = prompts[number]
            key = batcher.add(own.ids, own.tokens, own.sampling, own.stop_tokens)
            running[key] = _Running(number, own)
        for drawn in batcher.step():
            each = running[drawn.request_id]
            if drawn.finish_reason != "stop":
                each.drawn.append(drawn.token)
            ended = _ended(loaded, each)
            if ended and not drawn.finish_reason:
                batcher.cancel(drawn.request_id)
            if ended or drawn.finish_reason:
                texts[each.number] = _cut(loaded.tokenizer.decode(each.drawn), each.prompt.stop_texts)
                del running[drawn.request_id]
                progress(len(prompts) - len(waiting) - len(running))
    return texts


def _ended(loaded: LoadedModel, each: _Running) -> bool:
    """Whether one of the stop texts has come."""
    if not each.prompt.stop_texts:
        return False
    text = loaded.tokenizer.decode(each.drawn)
    return _cut(text, each.prompt.stop_texts) != text


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop texts."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]
