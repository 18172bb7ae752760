"""Results per evaluation set: facts for the manifest, and sentences about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.decontamination.index import SetSummary

MAX_ITEMS = 10
"""Items that are reported per set."""
MAX_NAMED = 5
"""Sets that a warning names."""

Facts = Mapping[str, Any]
"""Of a run: ``action``, ``documents`` that are contaminated, ``removed_characters``, and ``sets``, which have
the fields of :class:`~pipeline.decontamination.index.SetSummary`, ``items_hit``, ``documents_hit`` and
``top_items``: those in the most documents, each with ``item``, ``documents``, ``hits`` (the most in one
document), ``passage`` and ``examples`` (ids of documents, the most hits first). Empty without sets."""


def set_facts(
    sets: Sequence[SetSummary],
    counts: Mapping[str, tuple[int, int]],
    top_items: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Return the facts of every set; ``counts``: items and documents hit, of the sets that matched."""
    return [
        asdict(each)
        | dict(zip(("items_hit", "documents_hit"), counts.get(each.name, (0, 0)), strict=True))
        | {"top_items": [dict(item) for item in top_items.get(each.name, ())]}
        for each in sets
    ]


def describe(facts: Facts) -> Iterator[str]:
    """Yield a sentence about the documents of a run, and one for each set that they match."""
    if not facts:
        return
    done = {"drop": "dropped", "cut": "cut", "mark": "marked"}[facts["action"]]
    yield f"{facts['documents']:,} documents contain evaluation items and are {done}"
    for each in sorted(facts["sets"], key=lambda each: (-each["items_hit"], each["name"])):
        if each["items_hit"]:
            yield (
                f"  {each['items_hit']:,} of {each['items']:,} items of {each['name']} "
                f"in {each['documents_hit']:,} documents"
            )


def warnings(facts: Facts) -> Iterator[str]:
    """Yield a sentence about sets that matched nothing, about unusable lines, and about items left out.

    A set that matches nothing may be of another language, or have its texts in another field.
    """
    sets = facts.get("sets", ())
    if idle := [each["name"] for each in sets if not each["items_hit"]]:
        yield f"{len(idle)} of {len(sets)} evaluation sets matched no document: {_named(idle)}"
    if damaged := [
        f"{each['unusable_lines']:,} of {each['name']}" for each in sets if each["unusable_lines"]
    ]:
        yield f"lines of evaluation sets that cannot be used: {_named(damaged)}"
    left_out = {each["name"]: each["too_short"] + each["unspecific"] for each in sets}
    if listed := [
        f"{left_out[each['name']]:,} of {each['items']:,} of {each['name']}"
        for each in sorted(sets, key=lambda each: -left_out[each["name"]])
        if left_out[each["name"]]
    ]:
        yield f"evaluation items not searched for, too short or unspecific: {_named(listed)}"


def _named(names: Sequence[str]) -> str:
    more = f", and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
