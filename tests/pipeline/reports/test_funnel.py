"""The funnel: no record is lost, and tokens of kept documents equal those of the shards."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger import Reason
from pipeline.reports import Fate
from pipeline.reports.funnel import funnel, groups, stages

ORDER = ["read", "url", "extract", "language", "gopher", "c4", "fineweb", "dedup"]
FATES = [
    Fate("web", "", "read.revisit", 5, 0),
    Fate("web", "en", "gopher.few_words", 10, 100),
    Fate("web", "de", "gopher.few_words", 2, 20),
    Fate("web", "de", "dedup.near", 3, 300),
    Fate("web", "en", "", 4, 400),
    Fate("books", "en", "gopher.few_words", 1, 1000),
]


def test_every_stage_is_described():
    assert set(stages()) >= {reason.stage for reason in Reason}


def test_funnel_counts_records_words_and_tokens():
    steps = funnel(FATES, 1, {"web": 600}, ORDER)
    left = {step.stage: (step.records, step.words, step.tokens) for step in steps}
    assert left[""] == (26, 1820, 2730)
    assert left["unreadable"] == (25, None, None)
    assert left["read"] == (20, None, None)
    assert left["extract"] == (20, 1820, 2730)
    assert left["gopher"] == (7, 700, 1050)  # no book was kept: the average rate
    assert left["dedup"] == (4, 400, 600)  # equals the shards


def test_tokens_are_unknown_without_shards():
    assert {step.tokens for step in funnel(FATES, 0, {}, ORDER)} == {None}


@given(
    st.lists(
        st.builds(
            Fate,
            source=st.sampled_from("ab"),
            language=st.just("en"),
            reason=st.sampled_from(["", *(f"{stage}.x" for stage in ORDER)]),
            records=st.integers(0, 50),
            words=st.integers(0, 50),
        )
    ),
    st.integers(0, 9),
)
def test_no_record_is_lost(fates, unreadable):
    steps = funnel(fates, unreadable, {}, [*ORDER, "gopher"])
    assert steps[0].records == unreadable + sum(fate.records for fate in fates)
    assert steps[0].records - sum(step.dropped for step in steps) == steps[-1].records
    assert steps[-1].records == sum(fate.records for fate in fates if not fate.reason)
    assert steps[-1].words == sum(fate.words for fate in fates if not fate.reason)


def test_groups_are_sorted_by_size_with_their_main_reason():
    first, second = groups(FATES, lambda fate: fate.language, 2)
    assert (first.label, first.records, first.kept, first.main_reason) == ("en", 15, 4, "gopher.few_words")
    assert (second.label, second.records, second.kept, second.main_reason) == ("de", 5, 0, "dedup.near")
