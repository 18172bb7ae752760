"""Request bodies: OpenAI's parameters (``top_k`` is an extension) and feedback."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from model.generation import Sampling

SEED_LIMIT = 2**63
"""Seeds are smaller than this in absolute value."""
MAX_FEEDBACK_CHARACTERS = 100_000
"""Length limit of a correction or a comment."""


class StrictModel(BaseModel):
    """Base of all bodies: unknown parameters are rejected, types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _as_list(value: Any) -> Any:
    """Accept a single stop string and null."""
    return [value] if isinstance(value, str) else value or []


def _join_parts(value: Any) -> Any:
    """Accept content as a list of text parts, as sent by clients that support images."""
    if not isinstance(value, list):
        return value
    texts = [part["text"] for part in value if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(value):
        raise ValueError("only content parts of type text are supported; send text")
    return "".join(map(str, texts))


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; leave it out instead")
    return value


class StreamOptions(StrictModel):
    """Options of streamed responses."""

    include_usage: bool = False


class GenerationRequest(StrictModel):
    """Parameters that chat completions and completions have in common."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """0: greedy; None: 1."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(gt=-SEED_LIMIT, lt=SEED_LIMIT)] | None = None
    stop: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]],
        Field(max_length=4),
        BeforeValidator(_as_list),
    ] = []
    n: Literal[1] | None = None
    """Number of answers; only one is supported."""
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    user: str | None = None
    """Accepted and ignored."""

    @model_validator(mode="before")
    @classmethod
    def _normalize_penalties(cls, values: Any) -> Any:
        """Accept 0.0, which clients send for penalties that are off."""
        if isinstance(values, dict):
            for name in ("presence_penalty", "frequency_penalty"):
                if values.get(name) == 0:
                    values[name] = 0
        return values

    @property
    def token_limit(self) -> int | None:
        """Largest number of tokens in the answer; None: the server's default."""
        return self.max_tokens

    def sampling(self, default_seed: int) -> Sampling:
        """Return the sampling parameters; ``default_seed`` is used if the request has none."""
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k or 0,
            top_p=self.top_p or 1.0,
            seed=default_seed if self.seed is None else self.seed,
        )


class ChatMessage(StrictModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_join_parts)]


class ChatCompletionRequest(GenerationRequest):
    """Body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Literal[False] | None = None

    @property
    def token_limit(self) -> int | None:
        """Largest number of tokens in the answer; None: the server's default."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(GenerationRequest):
    """Body of ``POST /v1/completions``."""

    prompt: Annotated[str | list[int], Field(union_mode="smart")]
    logprobs: None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None


Text = Annotated[str, StringConstraints(max_length=MAX_FEEDBACK_CHARACTERS), AfterValidator(_not_blank)]


class FeedbackRequest(StrictModel):
    """Body of ``POST /v1/feedback``."""

    response_id: Annotated[str, StringConstraints(max_length=200)]
    rating: Literal["up", "down"]
    correction: Text | None = None
    """The answer as it should have been."""
    comment: Text | None = None
