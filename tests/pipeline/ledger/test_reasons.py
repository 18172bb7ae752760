from core.resources import read_toml
from pipeline.ledger import RULES, Reason


def test_every_reason_has_a_meaning_that_follows_because():
    for reason in Reason:
        assert reason.meaning.strip() == reason.meaning
        assert not reason.meaning.endswith(".")


def test_only_reasons_have_a_meaning():
    assert read_toml("pipeline.ledger", "meanings.toml").keys() == {reason.value for reason in Reason}


def test_only_stages_of_reasons_are_described():
    described = read_toml("pipeline.reports", "stages.toml").keys()
    assert described == {"unreadable", *(reason.stage for reason in Reason)}


def test_every_filter_condition_has_a_metric():
    other_stages = {"read", "extract", "contamination", "dedup"}
    on_metrics = {reason for reason in Reason if reason.stage not in other_stages}
    assert on_metrics - set(RULES) == {Reason.LANGUAGE_UNWANTED}
