from pipeline.decontamination import SetSummary
from pipeline.decontamination.report import MAX_NAMED, describe, set_facts, warnings


def _summary(name, items=10, **counts):
    zero = {"unusable_lines": 0, "short_texts": 0, "too_short": 0, "unspecific": 0}
    return SetSummary(name=name, path=f"/{name}.jsonl", items=items, **(zero | counts))


def _run(sets):
    return {"action": "cut", "documents": 1003, "removed_characters": 9, "sets": sets}


def test_facts_of_a_set_are_its_summary_and_what_it_matched():
    top = {"item": 3, "documents": 2, "hits": 5, "passage": "Some words", "examples": ["aa", "bb"]}
    found = set_facts([_summary("a", too_short=4), _summary("b")], {"a": (1, 2)}, {"a": [top]})
    assert found[0] == {
        "name": "a",
        "path": "/a.jsonl",
        "items": 10,
        "unusable_lines": 0,
        "short_texts": 0,
        "too_short": 4,
        "unspecific": 0,
        "items_hit": 1,
        "documents_hit": 2,
        "top_items": [top],
    }
    assert (found[1]["items_hit"], found[1]["documents_hit"], found[1]["top_items"]) == (0, 0, [])


def test_sets_that_match_are_described_and_others_warned_about():
    sets = [_summary("a", 1234), _summary("b", 9), _summary("c")]
    found = _run(set_facts(sets, {"a": (2, 3), "b": (5, 1000)}, {}))
    assert [line.strip() for line in describe(found)] == [
        "1,003 documents contain evaluation items and are cut",
        "5 of 9 items of b in 1,000 documents",
        "2 of 1,234 items of a in 3 documents",
    ]
    assert list(warnings(found)) == ["1 of 3 evaluation sets matched no document: c"]


def test_what_is_not_searched_for_is_warned_about():
    sets = [_summary("a", unusable_lines=1, too_short=1), _summary("b", unspecific=2, too_short=3)]
    found = _run(set_facts(sets, {"a": (1, 1), "b": (1, 1)}, {}))
    assert list(warnings(found)) == [
        "lines of evaluation sets that cannot be used: 1 of a",
        "evaluation items not searched for, too short or unspecific: 5 of 10 of b, 1 of 10 of a",
    ]


def test_warnings_name_few_sets():
    found = _run(set_facts([_summary(f"set{n}") for n in range(MAX_NAMED + 2)], {}, {}))
    (warning,) = warnings(found)
    assert warning.endswith("set3, set4, and 2 more")


def test_a_run_without_sets_has_nothing_to_say():
    assert list(describe({})) == list(warnings({})) == []
