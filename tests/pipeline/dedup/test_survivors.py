"""Survivors of a cluster: laws, and the cases that tools of this kind get wrong."""

import math
from datetime import UTC, datetime
from itertools import combinations

import networkx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.config import DedupConfig, load
from core.errors import ConfigError
from pipeline.dedup.survivors import Candidate, _OverlapBounds, decide, decide_copy, jaccard, preference

SETS = st.sets(st.integers(0, 12), max_size=12)


def candidate(identifier, shingles, keys=(1,), text=""):
    stored = np.array(sorted(shingles), np.uint32).tobytes()
    return Candidate(identifier, text or identifier, keys, stored)


KEYS = st.lists(st.integers(0, 3), max_size=3)
TEXTS = st.sampled_from(["", "a", "b", "c"])


@st.composite
def clusters(draw):
    number = draw(st.integers(1, 8))
    return [candidate(f"{each:02x}", draw(SETS), draw(KEYS), draw(TEXTS)) for each in range(number)]


def similarity(one, other):
    one, other = (set(np.frombuffer(each.shingles, np.uint32).tolist()) for each in (one, other))
    return len(one & other) / len(one | other) if one | other else 0.0


@given(SETS, SETS, st.floats(0, 1))
def test_jaccard_equals_its_definition(one, other, at_least):
    arrays = [np.array(sorted(each), np.uint32) for each in (one, other)]
    expected = len(one & other) / len(one | other) if one and other else 0.0
    found = jaccard(*arrays, at_least)
    assert found == expected or (found == 0 and expected < at_least)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
@example(14, 11, 0)
def test_a_document_at_the_very_threshold_is_similar_enough(common, only_one, only_other):
    """Such as 14 of 25 shingles at 0.56, whose product in floating point is above 14."""
    one = np.arange(common + only_one, dtype=np.uint32)
    other = np.r_[:common, 1000 : 1000 + only_other].astype(np.uint32)
    threshold = common / max(common + only_one + only_other, 1)
    assert jaccard(one, other, threshold) == threshold
    assert _OverlapBounds().may_reach(one, [other], threshold).all()


@given(clusters(), st.sampled_from([0.3, 0.6, 0.9]), st.booleans())
def test_documents_resemble_their_survivor_and_no_two_survivors_alike(members, threshold, exact):
    decisions = decide(members, DedupConfig(threshold=threshold, exact=exact))
    by_id = {each.id: each for each in members}
    assert [decision.id for decision in decisions] == list(by_id)
    survivors = [decision.id for decision in decisions if decision.reason is None]
    stood_for = [each.duplicate_of or each.id for each in decisions]
    for decision in decisions:
        if decision.reason == "dedup.near":
            true = similarity(by_id[decision.id], by_id[decision.duplicate_of])
            assert true == decision.similarity >= threshold
        assert decision.reason is None or decision.duplicate_of in survivors
        assert decision.cluster == members[0].id
        assert decision.cluster_size == stood_for.count(decision.duplicate_of or decision.id)
    for one, other in combinations(map(by_id.__getitem__, survivors), 2):
        if set(one.keys) & set(other.keys):
            assert similarity(one, other) < threshold
        assert not exact or one.normalized_hash != other.normalized_hash


@given(clusters())
def test_decisions_need_no_documents_without_a_common_key(members):
    settings = DedupConfig(threshold=0.5, exact=False)
    together = {each.id: (each.reason, each.duplicate_of) for each in decide(members, settings)}
    graph = networkx.Graph([(each.id, key) for each in members for key in each.keys])
    for component in networkx.connected_components(graph):
        for decision in decide([each for each in members if each.id in component], settings):
            assert together[decision.id] == (decision.reason, decision.duplicate_of)


def test_chain_keeps_both_ends():
    """A ~ B ~ C with A and C unlike: B is dropped for A, and C, unlike A, survives."""
    a, b, c = (candidate(name, range(start, start + 10)) for name, start in (("a", 0), ("b", 2), ("c", 4)))
    settings = DedupConfig(threshold=0.6)
    assert [(each.id, each.reason, each.duplicate_of) for each in decide([a, b, c], settings)] == [
        ("a", None, None),
        ("b", "dedup.near", "a"),
        ("c", None, None),
    ]
    assert [each.duplicate_of for each in decide([b, a, c], settings)] == [None, "b", "b"]
    unverified = decide([a, b, c], DedupConfig(threshold=0.6, verify=False))
    assert [each.duplicate_of for each in unverified] == [None, "a", "a"]


def test_short_documents_are_only_compared_exactly():
    short = [candidate("a", ()), candidate("b", ()), candidate("c", (), text="a")]
    assert [each.reason for each in decide(short, DedupConfig())] == [None, None, "dedup.exact"]
    for verify in (True, False):
        decided = decide(short, DedupConfig(exact=False, verify=verify))
        assert [each.reason for each in decided] == [None, None, None]


def test_a_copy_of_a_dropped_document_names_the_survivor():
    members = [candidate("a", range(10)), candidate("b", range(9)), candidate("c", range(9), text="b")]
    assert [
        (each.reason, each.duplicate_of, each.cluster_size) for each in decide(members, DedupConfig())
    ] == [
        (None, None, 3),
        ("dedup.near", "a", 3),
        ("dedup.exact", "a", 3),
    ]


def test_indexed_documents_stay_and_are_not_decided_about():
    members = [candidate(name, range(10))._replace(generation="first") for name in "xy"]
    (found,) = decide([*members, candidate("a", range(10))], DedupConfig())
    assert found[:2] == ("a", "x") and found.duplicate_of == "x"


@pytest.mark.parametrize(
    ("keep", "best"),
    [
        (["longest"], "long"),
        (["newest"], "new"),
        (["oldest"], "old"),
        (["quality"], "good"),
        (["source", "newest"], "wiki"),
    ],
)
def test_policy_chooses_the_copy_that_stays(keep, best):
    documents = {
        "long": (90, 2020, None, "crawl"),
        "new": (10, 2024, 0.1, "crawl"),
        "old": (10, 2001, math.nan, "crawl"),
        "good": (10, None, 0.9, "crawl"),
        "wiki": (10, 2010, None, "wikipedia"),
    }
    settings = DedupConfig(keep=keep, sources=["wikipedia", "books"])
    order = {
        name: preference(
            settings,
            words=words,
            fetched_at=year and datetime(year, 1, 1, tzinfo=UTC),
            quality=quality,
            source=source,
        )
        for name, (words, year, quality, source) in documents.items()
    }
    assert min(order, key=order.__getitem__) == best


@pytest.mark.parametrize("keep", ['["newest", "oldest"]', '["longest", "longest"]', '["shortest"]'])
def test_contradicting_policies_are_refused(keep):
    with pytest.raises(ConfigError, match=r"dedup\.keep"):
        load(None, [f"dedup.keep={keep}"])


@given(clusters(), st.sampled_from([0.3, 0.6]))
def test_many_survivors_are_compared_as_few_are(members, threshold):
    """Bounds on overlaps exclude only survivors that are not similar."""
    settings = DedupConfig(threshold=threshold, exact=False)
    expected = decide(members, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.dedup.survivors.MAX_COMPARED", 0)
        assert decide(members, settings) == expected


def test_bounds_are_not_below_the_overlap():
    random = np.random.default_rng(1)
    others = [np.unique(random.integers(0, 2**32, 300, np.uint32)) for _ in range(50)]
    bounds = _OverlapBounds()
    for number in range(1, 51):
        mixed = np.unique(np.concatenate([others[number - 1][:200], others[0][:100]]))
        possible = bounds.may_reach(mixed, others[:number], 0.4)
        assert len(possible) == number and possible[number - 1]
        assert all(possible[each] or jaccard(others[each], mixed) < 0.4 for each in range(number))
    assert possible.sum() < 5


@given(clusters(), st.lists(st.integers(0, 2), min_size=8, max_size=8), st.booleans(), st.booleans())
def test_copies_in_a_file_follow_the_first_of_their_text(members, files, near, verify):
    """Deciding about one document of each text and file, then about the others, is deciding about all."""
    settings = DedupConfig(threshold=0.5, near=near, verify=verify)
    first, copies = {}, {}
    for member, file in zip(members, files, strict=False):
        kept = first.setdefault((file, member.normalized_hash), member)
        copies.setdefault(kept.id, []).append(member.id)
    kept = [member._replace(copies=len(copies[member.id])) for member in members if member.id in copies]
    decided = decide(kept, settings)
    others = [decide_copy(other, each) for each in decided for other in copies[each.id][1:]]
    assert sorted(decided + others) == sorted(decide(members, settings))
