"""Sentences about repeated lines and passages."""

from core.manifest import Manifest
from pipeline.ledger.cuts import describe_cuts

LINES = {"documents": 12, "spans": 1400, "characters": 56_000}
PASSAGES = {"documents": 2, "spans": 3, "characters": 700}


def _describe(action: str, **facts: object) -> list[str]:
    config = {"dedup": {"lines": {"min_documents": 2}, "substrings": {"action": action}}}
    made = Manifest(
        stage="dedup", fingerprint="f", config=config, inputs=[], counts={}, files=[], facts=facts
    )
    return list(describe_cuts(made))


def test_lines_are_always_cut_and_passages_as_configured() -> None:
    cuts = {"lines": LINES, "substrings": PASSAGES}
    lines = "1,400 repeated lines, 56,000 characters in 12 documents, were cut"
    passages = "3 repeated passages, 700 characters in 2 documents, were "
    assert _describe("cut", cuts=cuts) == [lines, f"{passages}cut"]
    assert _describe("mark", cuts=cuts) == [lines, f"{passages}marked, not cut"]


def test_search_without_result_differs_from_none() -> None:
    assert _describe("cut", cuts={}) == ["no repeated lines or passages were found"]
    assert _describe("cut") == []
