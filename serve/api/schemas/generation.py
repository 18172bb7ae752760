"""Request bodies: OpenAI's parameters (``top_k`` and ``continue_final_message`` are extensions).

Parameters that do not change the answer are accepted and ignored: see :mod:`serve.api.schemas.neutral`.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from model.batching import Logprobs
from model.generation import Sampling
from serve.api.schemas.base import NeutralModel, StrictModel
from serve.api.schemas.neutral import drop_neutral

MAX_CHOICES = 1024
"""Answers of one request, to all its prompts."""
MAX_LOGPROBS = 20
"""Most likely tokens that are reported for each token."""
MAX_STOP_STRINGS = 64
"""OpenAI allows 4; evaluation suites have more."""


def _as_integer(value: Any) -> Any:
    """Accept an integer in floating-point notation, such as ``1e3``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_limit(value: Any) -> Any:
    """Accept -1, which clients of llama.cpp and vLLM send for "off"."""
    return None if value == -1 else _as_integer(value)


def _zero_as_false(value: Any) -> Any:
    """Accept 0, which turns log-probabilities off in completions."""
    return False if type(value) is int and value == 0 else value


def _number_or_none(value: Any) -> Any:
    """Accept false, which turns log-probabilities off in chat completions."""
    return None if value is False else value


def _as_list(value: Any) -> Any:
    """Accept a single stop string, and leave out empty ones."""
    strings = [value] if isinstance(value, str) else value or []
    return (
        [string for string in strings if string not in ("", None)] if isinstance(strings, list) else strings
    )


def _join_parts(value: Any) -> Any:
    """Accept content as a list of text parts, as sent by clients that support images."""
    if not isinstance(value, list):
        return value
    parts = [
        part.get("text") if isinstance(part, dict) and part.get("type") == "text" else part for part in value
    ]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise ValueError("only content parts of type text are supported; send text")
    return "".join(texts)


def _prompts(value: Any) -> list[str | list[int]]:
    """Return the prompts: texts or lists of token ids."""
    alone = isinstance(value, str) or _are_tokens(value)
    prompts = [value] if alone else value
    if not isinstance(prompts, list) or not all(isinstance(one, str) or _are_tokens(one) for one in prompts):
        raise ValueError("must be a text, a list of token ids, or a list of these; correct it")
    if not prompts:
        raise ValueError("must not be empty; send at least one prompt")
    return prompts


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _token_ids(value: Any) -> Any:
    """Accept the token ids of a bias as JSON sends them: names of an object's members."""
    try:
        return {int(token): bias for token, bias in value.items()}
    except (AttributeError, ValueError):
        raise ValueError("must map token ids to numbers from -100 to 100; correct it") from None


Integer = Annotated[int, BeforeValidator(_as_integer)]
TokenLimit = Annotated[int | None, Field(ge=1), BeforeValidator(_without_limit)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]
TopLogprobs = Annotated[Integer, Field(ge=0, le=MAX_LOGPROBS)]


class StreamOptions(StrictModel):
    """Options of streamed responses."""

    include_usage: bool = False
    include_obfuscation: bool | None = None
    """Accepted and ignored."""
    continuous_usage_stats: Literal[False] | None = None


class GenerationRequest(NeutralModel):
    """Parameters that chat completions and completions have in common."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """0: greedy."""
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[int | None, Field(ge=0), BeforeValidator(_without_limit)] = None
    seed: Integer | None = None
    stop: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]],
        Field(max_length=MAX_STOP_STRINGS),
        BeforeValidator(_as_list),
    ] = Field(default_factory=list)
    n: Annotated[Integer, Field(ge=1, le=128)] = 1
    """Number of answers to each prompt."""
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Annotated[dict[int, Bias], BeforeValidator(_token_ids)] = Field(default_factory=dict)

    @property
    def token_limit(self) -> int | None:
        """Largest number of tokens in the answer; None: the server's default."""
        return self.max_tokens

    @property
    def token_logprobs(self) -> Logprobs | None:
        """Log-probabilities to report."""
        return None

    @property
    def echoes_prompt(self) -> bool:
        """True if the prompt is part of the response."""
        return False

    def sampling(self, seed: int) -> Sampling:
        """Return the sampling parameters, with ``seed``."""
        return Sampling(
            temperature=self.temperature,
            top_k=self.top_k or 0,
            top_p=self.top_p,
            seed=seed,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=self.logit_bias,
        )


class ChatMessage(StrictModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_join_parts)]

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, values: Any) -> Any:
        """Drop fields without effect; an answer may have no content."""
        if not isinstance(values, dict):
            return values
        kept = drop_neutral(values, cls.model_fields, suffix="_in_messages")
        return {"content": "", **kept} if kept.get("role") == "assistant" else kept


class ChatCompletionRequest(GenerationRequest):
    """Body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: TokenLimit = None
    logprobs: Annotated[bool, BeforeValidator(_zero_as_false)] = False
    top_logprobs: TopLogprobs = 0
    continue_final_message: bool = False
    """Continue the last message, which must be the assistant's, instead of answering it."""
    add_generation_prompt: bool = True
    """Must be false with ``continue_final_message`` in other servers; accepted only then."""

    @field_validator("top_logprobs")
    @classmethod
    def _check_top_logprobs(cls, value: int, info: ValidationInfo) -> int:
        if value and not info.data.get("logprobs"):
            raise ValueError("requires logprobs = true; send both or neither")
        return value

    @field_validator("continue_final_message")
    @classmethod
    def _check_final_message(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("messages") and info.data["messages"][-1].role != "assistant":
            raise ValueError("requires a last message of the assistant; add it")
        return value

    @field_validator("add_generation_prompt")
    @classmethod
    def _check_generation_prompt(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and not info.data.get("continue_final_message"):
            raise ValueError("false requires continue_final_message = true; send both or neither")
        return value

    @property
    def token_limit(self) -> int | None:
        """Largest number of tokens in the answer; None: the server's default."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def token_logprobs(self) -> Logprobs | None:
        """Log-probabilities to report."""
        return Logprobs(self.top_logprobs) if self.logprobs else None


class CompletionRequest(GenerationRequest):
    """Body of ``POST /v1/completions``."""

    prompt: Annotated[list[str | list[int]], PlainValidator(_prompts)]
    max_tokens: Annotated[int | None, Field(ge=0), BeforeValidator(_without_limit)] = None
    """0: only the prompt is echoed."""
    logprobs: Annotated[TopLogprobs | None, BeforeValidator(_number_or_none)] = None
    echo: bool = False
    best_of: Integer | None = None

    @field_validator("prompt")
    @classmethod
    def _check_number(cls, value: list[str | list[int]], info: ValidationInfo) -> list[str | list[int]]:
        number = len(value) * int(info.data.get("n", 1))
        if number > MAX_CHOICES:
            raise ValueError(f"{number} answers: a request has at most {MAX_CHOICES}; send several requests")
        return value

    @field_validator("best_of")
    @classmethod
    def _check_best_of(cls, value: int | None, info: ValidationInfo) -> int | None:
        number = info.data.get("n", 1)
        if value not in (None, number):
            raise ValueError(f"{value}: must equal n = {number}, as all answers are returned; leave it out")
        return value

    @property
    def token_logprobs(self) -> Logprobs | None:
        """Log-probabilities to report."""
        return None if self.logprobs is None else Logprobs(self.logprobs, prompt=self.echo)

    @property
    def echoes_prompt(self) -> bool:
        """True if the prompt is part of the response."""
        return self.echo
