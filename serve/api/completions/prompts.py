"""Prompts: token ids of a request's conversation or texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import InputError
from core.tokenizer.chat import Message
from serve.api.errors import ApiError
from serve.api.schemas.generation import ChatCompletionRequest, CompletionRequest
from serve.service import ServedModel, Service


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, the tokens that end the answer, and the conversation as kept for feedback."""

    ids: Sequence[int]
    stop_tokens: frozenset[int]
    messages: Sequence[Mapping[str, str]]
    text: str = ""
    """Text of a prompt that is not a conversation."""
    continued: str = ""
    """Beginning of the answer, which ``messages`` does not contain."""


def chat_prompts(model: ServedModel, body: ChatCompletionRequest) -> list[Prompt]:
    """Apply the chat template to the messages."""
    messages = [
        Message("system" if message.role == "developer" else message.role, message.content)
        for message in body.messages
    ]
    try:
        chat = model.loaded.chat
        if len(messages) > model.engine.capacity:  # a message has at least one token
            raise _too_long(f"conversation has {len(messages)} messages", model, "messages")
        ids = chat.continuation(messages) if body.continue_final_message else chat.prompt(messages)
        stop_tokens = chat.stop
    except InputError as error:
        raise ApiError(400, str(error), "invalid_value", "messages") from None
    kept = [{"role": message.role, "content": message.content} for message in messages]
    if body.continue_final_message:
        return [Prompt(ids, stop_tokens, kept[:-1], continued=kept[-1]["content"])]
    return [Prompt(ids, stop_tokens, kept)]


def text_prompts(model: ServedModel, body: CompletionRequest) -> list[Prompt]:
    """Encode the texts of the prompts, or check their token ids."""
    tokenizer = model.loaded.tokenizer
    bos = [] if tokenizer.bos is None else [tokenizer.bos]
    stop_tokens = model.loaded.stop
    prompts = []
    for prompt in body.prompt:
        if isinstance(prompt, str):
            ids, text = bos + tokenizer.encode(prompt), prompt
        else:
            check_tokens(prompt, tokenizer.vocabulary_size, "prompt")
            ids, text = prompt, tokenizer.decode(prompt)
        if not ids:
            raise ApiError(400, "the prompt is empty; send some text", "invalid_value", "prompt")
        prompts.append(Prompt(ids, stop_tokens, [{"role": "user", "content": text}], text))
    return prompts


def check(
    service: Service, model: ServedModel, prompts: Sequence[Prompt], bias: Mapping[int, float], parameter: str
) -> None:
    """Raise :class:`ApiError` if a prompt is too long or the safety filter rejects it."""
    check_tokens(list(bias), model.loaded.tokenizer.vocabulary_size, "logit_bias")
    for prompt in prompts:
        if len(prompt.ids) >= model.engine.capacity:
            raise _too_long(f"prompt has {len(prompt.ids)} tokens", model, parameter)
        texts = [*(message["content"] for message in prompt.messages), prompt.continued]
        if refusal := next(filter(None, map(service.safety.refusal, texts)), None):
            message = f"the server's safety filter rejected this request ({refusal}); change its text"
            raise ApiError(400, message, "content_filter", details=refusal.to_json())


def _too_long(size: str, model: ServedModel, parameter: str) -> ApiError:
    """Return the error of a prompt that leaves no room for an answer."""
    return ApiError(
        400,
        f"the {size}, but prompt and answer together may have at most {model.engine.capacity} tokens; "
        "shorten it",
        "context_length_exceeded",
        parameter,
    )


def check_tokens(tokens: Sequence[int], vocabulary_size: int, parameter: str) -> None:
    """Raise :class:`ApiError` unless the vocabulary has all tokens."""
    if not all(0 <= token < vocabulary_size for token in tokens):
        message = f"token ids must be from 0 to {vocabulary_size - 1}; correct {parameter}"
        raise ApiError(400, message, "invalid_value", parameter)
