"""Adapt a ``tokenizer.json``, parsed: added tokens, their names, and the post-processor."""

from collections.abc import Iterable, Mapping
from typing import Any

FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
"""Default flags of an added token."""


def with_added_tokens(
    parsed: dict[str, Any], added: Iterable[Mapping[str, Any]], special: Iterable[str]
) -> dict[str, Any]:
    """Return the definition with further added tokens: ``added``, and those of ``special`` in its vocabulary.

    Returns ``parsed`` itself if it has them all.
    """
    present = {token["content"] for token in parsed.get("added_tokens") or ()}
    vocabulary = _vocabulary(parsed)
    next_id = 1 + max(
        (*vocabulary.values(), *(token["id"] for token in parsed.get("added_tokens") or ())), default=-1
    )
    tokens = [{"normalized": not token.get("special"), **token} for token in added]
    tokens += [{"content": name, "special": True} for name in special if name in vocabulary]
    missing = []
    for token in tokens:
        name = token["content"]
        if name in present or not name:
            continue
        present.add(name)
        found = vocabulary.get(name, next_id)
        next_id += found == next_id
        missing.append({"id": found, "special": False, **FLAGS, **token})
    if not missing:
        return parsed
    return parsed | {"added_tokens": [*(parsed.get("added_tokens") or ()), *missing]}


def renamed(parsed: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the definition with tokens renamed: the keys of ``names`` no longer encode to their ids."""
    model = dict(parsed["model"])
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): number for token, number in vocabulary.items()}
    elif isinstance(vocabulary, list):
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        model["merges"] = [merge for merge in model["merges"] if not _tokens_of_merge(merge) & names.keys()]
    tokens = [
        token | {"content": names.get(token["content"], token["content"])} for token in parsed["added_tokens"]
    ]
    return parsed | {"model": model, "added_tokens": tokens}


def with_bos(parsed: dict[str, Any], name: str, token: int | None) -> dict[str, Any]:
    """Return the definition with a post-processor that puts bos in front, or without if ``token`` is None.

    Returns ``parsed`` itself if it is so already.
    """
    present = parsed.get("post_processor")
    if mentions(present, name) == (token is not None):
        return parsed
    if token is None:
        return parsed | {"post_processor": None}
    bos, text, pair = ({"SpecialToken": {"id": name, "type_id": 0}}, _sequence("A"), _sequence("B"))
    template = {
        "type": "TemplateProcessing",
        "single": [bos, text],
        "pair": [bos, text, bos, pair],
        "special_tokens": {name: {"id": name, "ids": [token], "tokens": [name]}},
    }
    steps = [present, template] if present else [template]
    combined = {"type": "Sequence", "processors": steps} if present else template
    return parsed | {"post_processor": combined}


def mentions(part: Any, name: str) -> bool:
    """True if any key or value nested in ``part`` is ``name``."""
    if isinstance(part, dict):
        return any(key == name or mentions(value, name) for key, value in part.items())
    if isinstance(part, list):
        return any(mentions(value, name) for value in part)
    return bool(part == name)


def names(parsed: Mapping[str, Any]) -> set[str]:
    """Return the tokens of the model and the added ones."""
    return {*_vocabulary(parsed), *(token["content"] for token in parsed.get("added_tokens") or ())}


def _vocabulary(parsed: Mapping[str, Any]) -> dict[str, int]:
    """Return the ids of the model's tokens; the vocabulary of a Unigram model is a list."""
    found = parsed["model"].get("vocab") or {}
    if isinstance(found, dict):
        return found
    return {token: number for number, (token, _) in enumerate(found)}


def _tokens_of_merge(merge: str | list[str]) -> set[str]:
    """Return the two tokens of a merge and their joint token."""
    first, second = merge.split(" ", 1) if isinstance(merge, str) else merge
    return {first, second, first + second}


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}
