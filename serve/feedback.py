"""Feedback on answers."""

from collections.abc import Mapping, Sequence

from starlette.routing import Route


class Journal:
    """Answers and what was said of them."""

    def __init__(self, path: str = "") -> None:
        self._path = path

    def record(
        self,
        response_id: str,
        created: int,
        model: str,
        model_sha256: str,
        messages: Sequence[Mapping[str, str]],
        answer: str,
        finish_reason: str,
    ) -> None:
        """Keep one answer, with the conversation that it answers."""


def routes(journal: Journal) -> list[Route]:
    """``/v1/feedback``."""
    return []
