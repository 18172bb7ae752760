from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger import FunnelStep, Reason, funnel_steps, warnings

ON_ADDRESS = [reason for reason in Reason if reason.stage == "url"]
OTHERS = {"read", "url", "extract", "contamination", "dedup"}
ON_TEXT = [reason for reason in Reason if reason.stage not in OTHERS]


@given(
    st.dictionaries(st.sampled_from(Reason), st.integers(0, 1000)),
    st.permutations([*ON_ADDRESS, *ON_TEXT]),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_steps_account_for_every_record(dropped, conditions, kept, quarantined):
    lost = {
        stage: sum(count for reason, count in dropped.items() if reason.stage == stage)
        for stage in ("read", "extract", "contamination", "dedup")
    }
    counts = {f"dropped.{reason}": count for reason, count in dropped.items()}
    counts |= {"records_in": sum(dropped.values()) + kept + quarantined, "quarantined": quarantined}
    found = funnel_steps(counts, counts["records_in"] - quarantined - lost["read"], conditions)
    assert sorted(step.reason for step in found) == sorted(conditions)
    for before, after in pairwise(found):
        extraction = before.reason in ON_ADDRESS and after.reason in ON_TEXT
        assert after.reached == before.reached - before.dropped - extraction * lost["extract"]
    assert found[-1].reached - found[-1].dropped == kept + lost["contamination"] + lost["dedup"]


def test_idle_conditions_are_reported_only_if_reached():
    assert FunnelStep(reason=Reason.URL_WORD, reached=0, dropped=0).warning == ""
    assert FunnelStep(reason=Reason.URL_WORD, reached=1234, dropped=0).warning == (
        "url.word never fired: it dropped none of the 1,234 records that reached it"
    )


def test_conditions_that_drop_more_than_nine_tenths_are_reported():
    assert FunnelStep(reason=Reason.C4_FEW_SENTENCES, reached=1000, dropped=900).warning == ""
    assert FunnelStep(reason=Reason.C4_FEW_SENTENCES, reached=1000, dropped=901).warning == (
        "c4.few_sentences dropped 90.1%: 901 of the 1,000 records that reached it"
    )


def test_conditions_that_never_fired_are_one_line():
    reasons = [
        Reason.LANGUAGE_SCORE,
        Reason.GOPHER_FEW_WORDS,
        Reason.GOPHER_LONG_WORDS,
        Reason.C4_LOREM_IPSUM,
        Reason.FINEWEB_NEWLINES,
    ]
    steps = [FunnelStep(reason=reason, reached=100, dropped=0) for reason in reasons]
    assert list(warnings(steps)) == [
        "5 of 5 conditions never fired: language.score, gopher.few_words, c4.lorem_ipsum, 2 more; "
        "the report lists them"
    ]
    steps[2] = FunnelStep(reason=Reason.GOPHER_LONG_WORDS, reached=100, dropped=95)
    assert list(warnings(steps, {"c4.lorem_ipsum": 0})) == [
        "gopher.long_words dropped 95.0%: 95 of the 100 records that reached it",
        "4 of 5 conditions never fired: c4.lorem_ipsum, language.score, fineweb.newlines, 1 more; "
        "the report lists them",
    ]
    assert list(warnings(steps[1:3])) == [
        "gopher.long_words dropped 95.0%: 95 of the 100 records that reached it",
        "1 of 2 conditions never fired: gopher.few_words; the report lists them",
    ]
    assert list(warnings([FunnelStep(reason=Reason.C4_LOREM_IPSUM, reached=0, dropped=0)])) == []
