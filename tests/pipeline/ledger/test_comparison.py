from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger import Reason
from pipeline.ledger.comparison import QUARANTINED, Change, side_by_side

FATES = st.sampled_from([None, *(reason.value for reason in Reason)])
CHANGES = st.lists(
    st.builds(Change, FATES, FATES, st.sampled_from(["en", None]), st.none(), st.integers(1, 99))
)


@given(CHANGES, st.integers(0, 9))
def test_both_funnels_account_for_every_record(changes, damaged):
    lost = [Change(QUARANTINED, QUARANTINED, None, None, damaged)]
    lines = list(side_by_side([*changes, *lost], "one", "other"))
    rows = {}
    for line in lines[1:]:
        if not line.startswith("  "):
            break
        *name, left, right = line.replace(",", "").split()
        rows[" ".join(name)] = int(left), int(right)
    for side in (0, 1):
        expected = Counter({"kept": 0, QUARANTINED: damaged})
        for change in changes:
            expected[change[side] or "kept"] += change.records
        shown = {name: counts[side] for name, counts in rows.items()}
        total, dropped = shown.pop("records in"), shown.pop("dropped")
        assert +Counter(shown) == +expected
        assert total == sum(expected.values()) == dropped + expected["kept"] + damaged
    changed = next(line for line in lines if "newly kept" in line)
    numbers = [int(word) for word in changed.replace(",", "").split() if word.isdigit()]
    assert sum(numbers) == sum(change.records for change in changes if change.before != change.after)


def test_changes_are_summarized_by_kind_language_and_uncertainty():
    changes = [
        Change(None, None, "en", None, 1000),
        Change("gopher.few_words", None, "de", "quality.score", 20),
        Change(None, "c4.few_sentences", "en", None, 3),
        Change("gopher.few_words", "c4.few_sentences", "en", None, 4),
        Change("url.word", "url.word", None, "url.word", 5),
    ]
    assert list(side_by_side(changes, "run (gopher)", "c4"))[-4:] == [
        "20 newly kept, 3 newly dropped, 4 dropped for another reason",
        "kept by language: en 1,003 → 1,000, de 0 → 20",
        "not certain: 20 were not checked for quality.score, which the run did not measure",
        "not certain: 5 remain dropped by url.word, since they were not measured further",
    ]
