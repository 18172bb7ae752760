"""Log-likelihoods do not depend on batching, and windows score every token once."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from evals.likelihood import LikelihoodRequest, log_likelihoods
from evals.tasks.perplexity import windows
from model.loading import LoadedModel


def unbatched(loaded: LoadedModel, request: LikelihoodRequest) -> float:
    """Return the log-likelihood by definition, token by token."""
    total = 0.0
    tokens = [*request.context, *request.continuation]
    for index in range(len(request.context), len(tokens)):
        logits = loaded.model(torch.tensor([tokens[:index]]))[0, -1]
        total += float(F.log_softmax(logits.double(), dim=0)[tokens[index]])
    return total


@pytest.mark.parametrize("batch_tokens", [1, 20, 1000])
def test_results_do_not_depend_on_batch_size(loaded: LoadedModel, batch_tokens: int) -> None:
    random = torch.Generator().manual_seed(2)
    size = loaded.model.config.vocabulary_size
    requests = []
    for context, continuation in ((1, 1), (5, 2), (2, 9), (1, 12), (7, 3), (3, 3)):
        ids = torch.randint(size, (context + continuation,), generator=random).tolist()
        requests.append(LikelihoodRequest(ids[:context], ids[context:]))
    reported: list[int] = []
    found = log_likelihoods(loaded.model, requests, batch_tokens, reported.append)
    assert found == pytest.approx([unbatched(loaded, each) for each in requests], abs=1e-4)
    assert reported[-1] == len(requests) and reported == sorted(set(reported))


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=60),
    st.integers(2, 20),
    st.integers(1, 20),
)
def test_windows_score_every_token_once(ids: list[int], window: int, stride: int) -> None:
    stride = min(stride, window - 1)
    found = list(windows([7], ids, window, stride))
    assert [token for each in found for token in each.continuation] == ids
    assert all(each.context and each.continuation and len(each) <= window for each in found)
    text = [7, *ids]
    scored = 1
    for index, each in enumerate(found):
        assert text[: scored + len(each.continuation)][-len(each) :] == [*each.context, *each.continuation]
        if index:
            assert len(each.context) >= window - stride
        scored += len(each.continuation)
