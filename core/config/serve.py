"""The section of ``python -m serve``."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class ServeConfig(Section):
    """``[serve]``: answering over HTTP."""

    slots: int = Field(default=16, ge=1)
    """Requests that are generated side by side."""
    context: int = Field(default=0, ge=0)
    """Tokens of a request, prompt and answer together; 0: the model's own limit, at most 4096."""
    queue: int = Field(default=64, ge=0)
    """Requests that wait for a slot; one more is refused (429)."""
    answer_tokens: int = Field(default=1024, ge=1)
    """The longest answer where a request does not say."""
    request_seconds: float = Field(default=300.0, gt=0)
    """After so long an answer ends as it stands, with ``finish_reason`` ``length``."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long running requests are waited for once the server was told to stop."""
    body_bytes: int = Field(default=1_000_000, ge=1)
    """The longest body of a request."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 on CUDA, float32 on CPU, where bfloat16 is faster and answers differ a little."""
    threads: int = Field(default=0, ge=0)
    """Of the model; 0: one per processor that this process may use."""
    api_keys: str = ""
    """A file with one key per line. The variable ``GRISTMILL_API_KEYS`` adds keys, separated by spaces."""
    cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may call the server."""
    feedback: str = ""
    """An SQLite file that keeps answers and what is said of them; empty: nothing is kept."""
    safety: bool = True
    """The filter on what comes in and goes out; the keys below are its rules."""
    blocked_words: str = ""
    """A file with one word or phrase per line; none of them is accepted or sent."""
    toxicity: float = Field(default=0.75, ge=0, le=1)
    """A sentence that the classifier finds more toxic than this is blocked; 1: none. Of English fiction's
    sentences five in a thousand are above it."""
    mask_pii: bool = True
    """Replace personal data in answers by tags, as in the training text."""
