"""The section of ``python -m serve``."""

from typing import Literal

from pydantic import Field

from core.config.section import ByteSize, Section


class ServeConfig(Section):
    """HTTP server: an OpenAI-compatible API and a chat page."""

    model_name: str = ""
    """Name of the model in the API, so that clients need no change when it is replaced; empty: its own, which
    is accepted, too."""
    slots: int = Field(default=16, ge=1)
    """Requests that are generated concurrently, in one batch."""
    context: int = Field(default=0, ge=0)
    """Tokens of a request, prompt and answer together; 0: the model's own limit, at most 4096."""
    queue: int = Field(default=64, ge=0)
    """Requests that wait for a slot; further requests are rejected with status 429."""
    answer_tokens: int = Field(default=1024, ge=1)
    """Largest number of tokens in an answer, unless the request sets ``max_tokens``."""
    request_seconds: float = Field(default=300.0, gt=0)
    """Time limit of a request, in seconds; the answer is cut off then, with ``finish_reason`` ``length``."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """Time that running requests get to finish after the server received SIGTERM, in seconds."""
    body_bytes: ByteSize = Field(default=1_000_000, ge=1)
    """Largest request body."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the weights. ``auto``: bfloat16 on CUDA, float32 on CPU; on CPU, bfloat16 is faster and
    its answers differ slightly."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of the model; 0: one per core that this process may use."""
    api_keys: str = ""
    """Local file with one API key per line. The variable ``GRISTMILL_API_KEYS`` adds keys, separated by
    spaces."""
    cors_origins: tuple[str, ...] = ()
    """Origins of other sites whose pages may call the API."""
    hosts: tuple[str, ...] = ()
    """Further host names by which a server without API keys may be addressed, for example behind a proxy that
    forwards its own. Others are rejected, since pages of other sites could use them."""
    feedback: str = ""
    """SQLite file that stores users' feedback and the answers that it rates; empty: nothing is stored."""
    store_conversations: bool = False
    """Store all answers in that file, rated or not, with the conversations before them."""
    safety: bool = True
    """Filter prompts and answers by the keys below."""
    blocked_words: str = ""
    """Local file with one word or phrase per line; prompts and answers that contain one are blocked."""
    toxicity: float = Field(default=0.7, ge=0, le=1)
    """Toxicity score above which a sentence is blocked; 1: never. Four in a thousand sentences of English
    fiction score above the default."""
    mask_pii: bool = True
    """Replace personal data in answers by tags, as in the training text."""
