"""Generate text for many prompts with continuous batching."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from model.batching import Batcher
from model.generation import Sampling
from model.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """The tokens of one prompt, and how to continue them."""

    prompt_ids: list[int]
    max_tokens: int
    """Most tokens to generate."""
    sampling: Sampling
    stop_tokens: frozenset[int]
    stop_texts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Active:
    index: int
    request: GenerationRequest
    output_ids: list[int] = field(default_factory=list)


def generate(
    loaded: LoadedModel,
    requests: Sequence[GenerationRequest],
    batch_size: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Return the text generated for each request, without its stop text; up to ``batch_size`` run at a time.

    Greedy results do not depend on ``batch_size`` except for floating-point rounding. Each sampled request
    has its own seed.
    """
    longest = max(len(each.prompt_ids) + each.max_tokens for each in requests)
    batcher = Batcher(loaded.model, batch_size, longest)
    # The longest prompts first, so that requests which run alone at the end are short.
    waiting = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids))
    active: dict[int, _Active] = {}
    texts = [""] * len(requests)
    while waiting or active:
        while waiting and batcher.num_free:
            index = waiting.pop()
            request = requests[index]
            request_id = batcher.add(
                request.prompt_ids, request.max_tokens, request.sampling, request.stop_tokens
            )
            active[request_id] = _Active(index, request)
        for step in batcher.step():
            if step.error:
                raise step.error
            current = active[step.request_id]
            if step.finish_reason != "stop":
                current.output_ids.append(step.token)
            stopped = _contains_stop_text(loaded, current)
            if stopped and not step.finish_reason:
                batcher.cancel(step.request_id)
            if stopped or step.finish_reason:
                text = loaded.tokenizer.decode(current.output_ids)
                texts[current.index] = _truncate(text, current.request.stop_texts)
                del active[step.request_id]
                progress(len(requests) - len(waiting) - len(active))
    return texts


def _contains_stop_text(loaded: LoadedModel, current: _Active) -> bool:
    if not current.request.stop_texts:
        return False
    text = loaded.tokenizer.decode(current.output_ids)
    return _truncate(text, current.request.stop_texts) != text


def _truncate(text: str, stop_texts: Sequence[str]) -> str:
    """Return the text before the first stop text."""
    return text[: min((start for stop in stop_texts if (start := text.find(stop)) >= 0), default=len(text))]
