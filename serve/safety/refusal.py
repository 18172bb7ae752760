"""The reason for which the safety filter rejects a prompt or ends an answer."""

from dataclasses import asdict, dataclass
from typing import Literal

Rule = Literal["blocked_words", "toxicity"]
"""The key of ``[serve]`` that configures the rule."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rule that applies, and the category of what it found."""

    rule: Rule
    category: str

    def __str__(self) -> str:
        return f"rule {self.rule}, category {self.category}"

    def to_json(self) -> dict[str, str]:
        """Return the fields that the API sends."""
        return asdict(self)


BLOCKED_WORD = Refusal("blocked_words", "listed word")
