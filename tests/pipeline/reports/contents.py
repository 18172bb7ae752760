"""Content for the tests: everything that a page can show, with a given text in every field."""

from collections.abc import Mapping

from pipeline.reports import (
    Cluster,
    Content,
    CutCluster,
    Distribution,
    Edits,
    EvaluationSet,
    Filter,
    FoundItem,
    Group,
    Limit,
    RepeatedText,
    Sample,
    Share,
    Step,
    TokenLedger,
)
from pipeline.reports.tokenizer import Encoded, Measured, TokenizerReport

COUNTS: Mapping[str, int] = {
    "records_in": 1000,
    "kept": 600,
    "dropped": 399,
    "quarantined": 1,
    "duplicate_clusters": 1,
}
EMPTY = Content({**dict.fromkeys(COUNTS, 0)})
TOP = Limit("gopher.top_4_gram", "at most", 0.16)


def samples(text: str, url: str) -> list[Sample]:
    return [
        Sample("1" * 32, url, text, text, text, 0.17, 0.16, toxicity=0.1),
        Sample("2" * 32, text, f"{text} again", None, text, 0.2, 0.16, duplicate_of=text, toxicity=0.9),
        Sample("3" * 32),
    ]


def tokenizer_report(text: str) -> TokenizerReport:
    """Report on a tokenizer beside another one."""
    counts = Encoded(documents=3, bytes=12_000_000, words=2_000_000, tokens=3_000_000)
    groups = {text: counts, "de": counts}
    measured = [
        Measured(
            name=name, vocabulary_size=32_000, unused=1_234, round_trip_failures=["6" * 32] * failures,
            total=counts + counts, languages=groups, sources={text: counts},
        )
        for name, failures in ((text, 0), ("/data/gpt2", 2))
    ]  # fmt: skip
    return TokenizerReport(held_out=False, tokenizers=measured)


def content(text: str, url: str = "https://example.org/a") -> Content:
    """Make content with ``text`` in every field that records, files or the configuration determine."""
    shown = samples(text, url)
    edges = [0, 0.08, TOP.boundary("linear"), 0.24]
    drawn = Distribution("gopher_top_4_gram", edges, [500, 300, 80], 1000, 120, 0.9, [TOP])
    silent = Distribution("pii_cards", [-0.5, 0.5, 1.5], [0, 0], 1000, 1000, 0.0)
    return Content(
        counts=COUNTS,
        preset=text,
        funnel=[
            Step("", 0, 1000, 50_000, 70_000),
            Step("unreadable", 1, 999),
            Step("extract", 99, 900, 50_000, 70_000),
            Step("gopher", 300, 600, 30_000, 42_000),
        ],
        edits=[Edits(text, 600, 200, 1500, 90_000, 3_000_000)],
        warnings=[text] * 5,
        sources=[Group(text, 1000, 600, "gopher.top_4_gram")],
        languages=[Group(text, 900, 600, "gopher.top_4_gram")],
        sites=[Group(text, 700, 0, "gopher.top_4_gram"), Group("b.org", 1, 1)],
        filters=[
            Filter("extract.empty", "no text was found", 99, dropped_samples=shown),
            Filter(TOP.reason, "it repeats", 300, 900, 380, TOP, 2, "gopher_top_4_gram", drawn, shown, shown),
            Filter("toxicity.score", "it is toxic", 0, 600, 0, dropped_samples=shown),
        ],
        unfiltered=[silent, drawn],
        cluster_sizes=[Share("2 or 3", 1)],
        clusters=[Cluster(2, shown)],
        cut_clusters=[CutCluster(5000, 2, 40, 1000, ["5" * 32])],
        repeated=[
            RepeatedText("lines", True, 30, 300, 4000, [Share(text, 7)]),
            RepeatedText("substrings", False, 20, 21, 9000, [Share(text, 1)]),
        ],
        evaluation_sets=[
            EvaluationSet(text, 1000, 12, 2, 5, [FoundItem(34, 4, 21, text, [text, "4" * 32])]),
            EvaluationSet("idle", 10, 0, 0, 0),
        ],
        seconds=[(text, 61.0), ("clean: reading", 4.0)],
        tokens={text: 42_000},
        token_ledger=[TokenLedger("train", text, 12, 43_000, 1_000, 42_700, [("de", 40_000), (text, 3_000)])],
        tokenizer=tokenizer_report(text),
        loss=[(1, 9.0), (2, 8.0)],
        validation={text: (1.5, 4.2)},
        configuration=text,
    )
