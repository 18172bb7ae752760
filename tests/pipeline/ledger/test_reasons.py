from pipeline.ledger import RULES, Reason


def test_every_reason_means_something_that_follows_because():
    for reason in Reason:
        assert reason.meaning.strip() == reason.meaning
        assert not reason.meaning.endswith(".")


def test_every_condition_of_a_filter_looks_at_a_measure():
    decided_elsewhere = {"read", "extract", "dedup"}
    on_measures = {reason for reason in Reason if reason.stage not in decided_elsewhere}
    assert on_measures - set(RULES) == {Reason.LANGUAGE_UNWANTED}
