"""Many requests generated side by side: continuous batching (Yu et al. 2022, *Orca*).

Reading the weights is what a step costs, whether one sequence grows by it or sixteen. A request joins
between two steps and leaves when it is done; nobody waits for the longest. Prompts are read in pieces, so
that a long one does not keep the others waiting for long.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from core.errors import ModelError
from model.generation import Sampling, draw
from model.kv_cache import SlotCache, Window
from model.transformer import Transformer

PIECE = 160
"""Tokens of prompts that are read in one step: more would hardly be faster, and first tokens later."""
STRETCH = 800
"""Tokens of prompts after which those who wait for their next token have their turn."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The next token of one request."""

    id: int
    token: int
    finished: Literal["stop", "length"] | None
    """``stop``: the token is one of the request's stop tokens, not text; ``length``: it is the last."""


@dataclass(slots=True)
class _Request:
    id: int
    prompt: Sequence[int]
    limit: int
    sampling: Sampling
    stop: frozenset[int]
    generator: torch.Generator
    read: int = 0
    """Tokens of the prompt that are in the cache."""
    drawn: int = 0
    last: int = -1


class Batcher:
    """Up to ``slots`` requests at a time, each of at most ``capacity`` tokens, prompt and answer together.

    The requests that grow occupy the first slots of the cache without a gap, so that attention reads it where
    it lies; behind them is the one whose prompt is half read. What a request draws depends on those that it
    shares a batch with by rounding only. For use by one thread.
    """

    def __init__(self, model: Transformer, slots: int, capacity: int) -> None:
        weight = model.embedding.weight
        self.capacity = capacity
        self._model = model
        self._slots = slots
        self._cache = SlotCache(model.config, slots, capacity, weight.dtype, weight.device)
        self._growing: list[_Request] = []
        self._waiting: deque[_Request] = deque()
        self._added = 0
        self._stretch = 0
        """Tokens of prompts that were read since the growing requests had their turn."""

    @property
    def running(self) -> int:
        """Requests that are not finished."""
        return len(self._growing) + len(self._waiting)

    @property
    def free(self) -> int:
        """Requests that may be added now."""
        return self._slots - self.running

    def add(self, prompt: Sequence[int], limit: int, sampling: Sampling, stop: frozenset[int]) -> int:
        """Take on a request for at most ``limit`` tokens after the (not empty) ``prompt``; its number.

        The next steps read its prompt. Raises :class:`ModelError` if it does not fit ``capacity`` or no slot
        is free.
        """
        if not prompt or limit < 1 or len(prompt) + limit > self.capacity:
            raise ModelError(
                f"{len(prompt)} tokens of prompt and {limit} to draw: each must be at least 1, both together "
                f"at most {self.capacity}; shorten one of them"
            )
        if not self.free:
            raise ModelError(f"all {self._slots} slots are taken; wait for a request to finish")
        self._added += 1
        generator = torch.Generator().manual_seed(sampling.seed)
        self._waiting.append(_Request(self._added, prompt, limit, sampling, stop, generator))
        return self._added

    @torch.inference_mode()  # the cache that it moves was made in that mode
    def cancel(self, number: int) -> None:
        """Drop a request; nothing happens if it is finished already."""
        for slot, request in enumerate(self._growing):
            if request.id == number:
                self._release(slot)
                return
        for place, request in enumerate(self._waiting):
            if request.id == number:
                del self._waiting[place]
                if request.read:
                    self._cache.lengths[len(self._growing)] = 0
                return

    @torch.inference_mode()
    def step(self) -> list[Drawn]:
        """Read a piece of the waiting prompts, or else draw a token for each request whose prompt is read."""
        if self._waiting and (self._stretch < STRETCH or not self._growing):
            results = self._read()
        else:
            results = self._grow() if self._growing else []
        finished = {result.id for result in results if result.finished}
        for slot in reversed(range(len(self._growing))):
            if self._growing[slot].id in finished:
                self._release(slot)
        return results

    def _grow(self) -> list[Drawn]:
        """The next token of each growing request."""
        self._stretch = 0
        last = [[request.last] for request in self._growing]
        return self._draw(self._growing, self._states(last, self._cache.window(0, len(last))))

    def _read(self) -> list[Drawn]:
        """Read several short prompts, or a piece of a long one; its last gives the answer's first token."""
        first = len(self._growing)
        group = self._next_to_read()
        pieces = [request.prompt[request.read : request.read + PIECE] for request in group]
        states = self._states(pieces, self._cache.window(first, len(group)))
        for slot, (request, piece) in enumerate(zip(group, pieces, strict=True), first):
            self._stretch += len(piece)
            request.read += len(piece)
            self._cache.lengths[slot] = request.read
        if group[0].read < len(group[0].prompt):
            return []
        for _ in group:
            self._growing.append(self._waiting.popleft())
        return self._draw(group, states)

    def _next_to_read(self) -> list[_Request]:
        """The first that waits, and those behind it that can be read with it: all of them from the beginning.

        Shorter prompts are filled up to the longest, which must not make them too many.
        """
        group = [self._waiting[0]]
        longest = len(group[0].prompt)
        for request in islice(self._waiting, 1, None):
            longest = max(longest, len(request.prompt))
            if group[0].read or longest * (len(group) + 1) > PIECE:
                break
            group.append(request)
        return group

    def _states(self, pieces: Sequence[Sequence[int]], window: Window) -> Tensor:
        """What the model makes of each row's last token, ``[n, w]``.

        Shorter rows are filled up behind their end, where nothing that counts looks at.
        """
        longest = max(map(len, pieces))
        device = self._model.embedding.weight.device
        rows = torch.tensor([[*piece, *[0] * (longest - len(piece))] for piece in pieces], device=device)
        last = torch.tensor([len(piece) - 1 for piece in pieces], device=device)
        states = self._model.states(rows, cache=window)
        return states[torch.arange(len(pieces), device=device), last]

    def _draw(self, requests: Sequence[_Request], states: Tensor) -> list[Drawn]:
        """A token for each request from the states of its last one."""
        logits = self._model.logits(states)
        likeliest = logits.max(dim=1).indices.tolist()  # as argmax, three times as fast
        tokens = [
            draw(row, request.sampling, request.generator) if request.sampling.temperature else token
            for request, row, token in zip(requests, logits, likeliest, strict=True)
        ]
        return [self._count(request, token) for request, token in zip(requests, tokens, strict=True)]

    @staticmethod
    def _count(request: _Request, token: int) -> Drawn:
        request.last = token
        request.drawn += 1
        if token in request.stop:
            return Drawn(request.id, token, "stop")
        return Drawn(request.id, token, "length" if request.drawn == request.limit else None)

    def _release(self, slot: int) -> None:
        """Free the slot of a growing request and close the gap."""
        last = len(self._growing) - 1
        request = self._growing.pop()
        if slot < last:
            self._growing[slot] = request
        self._cache.move(last, slot)
        if self._waiting and self._waiting[0].read:
            self._cache.move(last + 1, last)
