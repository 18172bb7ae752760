from pipeline.ledger import RULES, Reason


def test_every_reason_has_a_meaning_that_follows_because():
    for reason in Reason:
        assert reason.meaning.strip() == reason.meaning
        assert not reason.meaning.endswith(".")


def test_every_filter_condition_has_a_metric():
    other_stages = {"read", "extract", "dedup"}
    on_metrics = {reason for reason in Reason if reason.stage not in other_stages}
    assert on_metrics - set(RULES) == {Reason.LANGUAGE_UNWANTED}
