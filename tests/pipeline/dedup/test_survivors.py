"""Survivors of a duplicate cluster, chosen in one process."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import DedupConfig
from pipeline.dedup.survivors import duplicates

# The same text always has the same number of words.
MEMBERS = st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(
    lambda texts: [
        {"id": f"{number:02x}", "words": 10 + (text == "b"), "text_hash": text}
        for number, text in enumerate(texts)
    ]
)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("near", [False, True])
@given(members=MEMBERS)
def test_survivors_follow_the_switches(members, exact, near):
    dropped = dict(duplicates(members, DedupConfig(exact=exact, near=near)))
    survivors = [member for member in members if member["id"] not in dropped]
    if near:
        (best,) = survivors
        assert (-best["words"], best["id"]) == min((-member["words"], member["id"]) for member in members)
    elif exact:
        assert sorted(member["text_hash"] for member in survivors) == sorted(
            {member["text_hash"] for member in members}
        )
    else:
        assert survivors == members
    assert {duplicate.duplicate_of for duplicate in dropped.values()} <= {each["id"] for each in survivors}


@given(MEMBERS)
def test_copies_after_the_first_are_exact_duplicates_and_others_near(members):
    dropped = dict(duplicates(members, DedupConfig()))
    reasons = Counter(duplicate.reason.value for duplicate in dropped.values())
    texts = len({member["text_hash"] for member in members})
    assert reasons == +Counter({"dedup.exact": len(members) - texts, "dedup.near": texts - 1})
