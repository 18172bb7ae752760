"""What a request for an answer may say (OpenAI's parameters; ``top_k`` is an extension)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from model.generation import Sampling

UNSEEDED = 2**63
"""Seeds lie below, in size."""


class Strict(BaseModel):
    """No unknown parameters, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _several(value: Any) -> Any:
    """One stop string is a list of one."""
    return [value] if isinstance(value, str) else value or []


def _joined(value: Any) -> Any:
    """Content in parts of text, as clients for images send it, is one text."""
    if not isinstance(value, list):
        return value
    texts = [part["text"] for part in value if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(value):
        raise ValueError("only parts of type text are understood; send text")
    return "".join(map(str, texts))


class StreamOptions(Strict):
    """What a stream tells besides text."""

    include_usage: bool = False


class Body(Strict):
    """What both ways to ask have in common."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """0: the likeliest token each time; None: 1."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(gt=-UNSEEDED, lt=UNSEEDED)] | None = None
    stop: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]],
        Field(max_length=4),
        BeforeValidator(_several),
    ] = []
    n: Literal[1] | None = None
    """One answer to a request."""
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    user: str | None = None
    """Taken, not used."""

    @model_validator(mode="before")
    @classmethod
    def _whole_zeros(cls, values: Any) -> Any:
        """Clients send penalties that are off as 0.0."""
        if isinstance(values, dict):
            for name in ("presence_penalty", "frequency_penalty"):
                if values.get(name) == 0:
                    values[name] = 0
        return values

    def sampling(self, unseeded: int) -> Sampling:
        """How tokens are drawn; ``unseeded`` is the seed of a request without one."""
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k or 0,
            top_p=self.top_p or 1.0,
            seed=unseeded if self.seed is None else self.seed,
        )


class ChatMessage(Strict):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]


class ChatBody(Body):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Literal[False] | None = None


class CompletionBody(Body):
    """The body of ``POST /v1/completions``."""

    prompt: Annotated[str | list[int], Field(union_mode="smart")]
    logprobs: None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
