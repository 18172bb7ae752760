"""Build prompts with few-shot examples, and generate text from them."""

import functools
from collections.abc import Sequence

from core.tokenizer.chat import Message
from evals.context import EvalContext, Progress
from evals.generation import GenerationRequest, generate
from evals.items import Item
from evals.suite import GenerationSuite, PromptedSuite, ToxicitySuite
from model.generation import Sampling

Shots = Sequence[tuple[str, str]]
"""Few-shot examples: prompt and answer of each."""


def plain_prompt(suite: PromptedSuite, prompt: str, shots: Shots) -> str:
    """Return few-shot examples and prompt as plain text, for a model to continue."""
    examples = [f"{shot_prompt}{suite.separator}{answer}\n\n" for shot_prompt, answer in shots]
    return "".join([*examples, prompt])


def chat_messages(suite: PromptedSuite, prompt: str, shots: Shots) -> list[Message]:
    """Return few-shot examples and prompt as turns, for a chat model."""
    messages = [Message("system", suite.system)] if suite.system else []
    for shot_prompt, answer in shots:
        messages += [Message("user", shot_prompt), Message("assistant", answer)]
    return [*messages, Message("user", prompt)]


def generation_request(
    suite: GenerationSuite | ToxicitySuite,
    context: EvalContext,
    item: Item,
    seed_offset: int,
    shots: Shots = (),
) -> GenerationRequest:
    """Return the request for an item. Raises :class:`InputError` if it exceeds the model's context."""
    prompt = item.render(suite.prompt)
    tokenizer = context.loaded.tokenizer
    sampling = Sampling(temperature=suite.temperature, seed=context.config.seed + seed_offset)
    if context.uses_chat_template(suite):
        chat = context.loaded.chat
        prompt_ids = chat.prompt(chat_messages(suite, prompt, shots))
        request = GenerationRequest(prompt_ids, suite.tokens, sampling, chat.stop)
    else:
        text_ids = context.bos_prefix() + tokenizer.encode(plain_prompt(suite, prompt, shots))
        prompt_ids = text_ids or context.scoring_prefix()
        stop_texts = suite.stop if isinstance(suite, GenerationSuite) else ()
        request = GenerationRequest(prompt_ids, suite.tokens, sampling, context.loaded.stop, stop_texts)
    context.check_length(item, len(prompt_ids) + suite.tokens)
    return request


def generate_texts(
    context: EvalContext, requests: Sequence[GenerationRequest], progress: Progress
) -> list[str]:
    """Return the generated text of each request, stripped of surrounding whitespace."""
    report = functools.partial(progress, total=len(requests))
    texts = generate(context.loaded, requests, context.config.batch_size, report)
    return [text.strip() for text in texts]
