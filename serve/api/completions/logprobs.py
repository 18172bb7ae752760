"""Log-probabilities in responses, in the formats of OpenAI's two endpoints."""

from collections.abc import Sequence
from typing import Any

from serve.logprobs import ScoredToken, TokenTexts

LOWEST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have, as in OpenAI's API."""


def chat_logprobs(tokens: Sequence[ScoredToken], texts: TokenTexts) -> dict[str, Any]:
    """Return the field ``logprobs`` of a chat completion, without the token that ended the answer."""

    def entry(token: int, logprob: float | None) -> dict[str, Any]:
        data = texts.bytes(token)
        values = None if data is None else list(data)
        return {"token": texts.text(token), "logprob": _number(logprob), "bytes": values}

    content = [
        entry(each.token, each.logprob) | {"top_logprobs": [entry(*likely) for likely in each.top]}
        for each in tokens
        if not each.is_stop
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Sequence[ScoredToken], texts: TokenTexts) -> dict[str, Any]:
    """Return the field ``logprobs`` of a completion."""
    return {
        "tokens": [texts.text(each.token) for each in tokens],
        "token_logprobs": [_number(each.logprob) for each in tokens],
        "top_logprobs": [_top(each, texts) for each in tokens],
        "text_offset": [each.offset for each in tokens],
    }


def _top(token: ScoredToken, texts: TokenTexts) -> dict[str, float | None] | None:
    """Return the most likely tokens and the token itself, most likely first; None if not requested."""
    if not token.top:
        return None
    found: dict[str, float | None] = {}
    for each, logprob in (*token.top, (token.token, token.logprob)):
        found.setdefault(texts.text(each), _number(logprob))
    return found


def _number(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, LOWEST_LOGPROB)
