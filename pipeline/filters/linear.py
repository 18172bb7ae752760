"""A quantized fastText model of two labels as what it is: linear, with a number for each word and part of it.

fastText averages the vectors of a line's words, of their parts and of its pairs of words, and multiplies by
the labels' (Joulin et al. 2016). Multiplied beforehand, a vector is one number, and a line's log-odds are the
mean of its numbers. They are looked up for all lines of a text at once, and words that were met before are
known with all their parts: in half the time that fastText takes, or less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.filters.classifier import POSITIVE

KNOWN = 1 << 18
"""Words after which those that were met are forgotten."""

_END = "</s>"
"""What fastText reads at the end of a line."""
_BASIS, _PRIME, _PAIR = 2166136261, 16777619, 116049371
"""Of its hashes: those of strings are FNV-1a, of bytes with a sign."""
_SIGNED = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.uint32)
_LONG = 24
"""Bytes; few words are longer."""
_CODEBOOK = 256
"""Vectors from which each part of a quantized one is chosen."""

_Numbers = NDArray[np.float64]
_Hashes = NDArray[np.uint32]
_Places = NDArray[np.int64]


class Linear:
    """The model at a path: softmax, of pairs of words, quantized, not pruned. Several threads may ask it."""

    def __init__(self, path: Path) -> None:
        model = _read(path.read_bytes())
        self._lengths = range(model.shortest, model.longest + 1)
        self._vocabulary = dict(zip(model.words, model.numbers.tolist(), strict=False))
        self._hashed = model.numbers[len(model.words) :].astype(np.float32)
        """By hash, the numbers of parts and pairs."""
        self._sums, self._counts = np.zeros((2, KNOWN))
        """Of the numbers of a word and its parts."""
        self._hashes = np.zeros(KNOWN, np.uint32)
        self._lock = Lock()
        self._forget()

    def logits(self, lines: Sequence[Sequence[str]]) -> _Numbers:
        """The log-odds of each line of being positive; a line is its words, prepared."""
        words = [word for line in lines for word in (*line, _END)]
        with self._lock:
            places = self._places(words)
            sums, counts, hashes = self._sums[places], self._counts[places], self._hashes[places]
        past = np.cumsum([len(line) + 1 for line in lines])
        starts = np.concatenate([[0], past[:-1]])
        wide = hashes.view(np.int32).astype(np.uint64)
        sums[:-1] += self._hashed[(wide[:-1] * _PAIR + wide[1:]) % len(self._hashed)]
        counts += 1
        sums[past - 1], counts[past - 1] = self._sums[0], self._counts[0]  # No pair is of two lines.
        totals: _Numbers = np.add.reduceat(sums, starts) / np.add.reduceat(counts, starts)
        return totals

    def _forget(self) -> None:
        """Know nothing but the end of a line, which has no parts."""
        self._known = {_END: 0}
        self._sums[0], self._counts[0], self._hashes[0] = self._vocabulary[_END], 1, _hash(_END.encode())

    def _places(self, words: Sequence[str]) -> _Places:
        """The place of each word in the tables; those that are new get one."""
        new = set(words).difference(self._known)
        if len(self._known) + len(new) > KNOWN:
            self._forget()
            new = set(words).difference(self._known)
        if new:
            self._learn(list(new))
        return np.fromiter(map(self._known.__getitem__, words), np.int64, len(words))

    def _learn(self, words: Sequence[str]) -> None:
        first = len(self._known)
        places = slice(first, first + len(words))
        self._known.update(zip(words, range(first, first + len(words)), strict=True))
        self._hashes[places] = _hashes(words)
        own = np.array([self._vocabulary.get(word, np.nan) for word in words])
        owners, hashes = _parts(words, self._lengths)
        parts = np.bincount(owners, self._hashed[hashes % len(self._hashed)], len(words))
        self._sums[places] = np.nan_to_num(own) + parts
        self._counts[places] = ~np.isnan(own) + np.bincount(owners, minlength=len(words))


def _hashes(words: Sequence[str]) -> _Hashes:
    """The hash of each word: a byte of all words at a time, and what long ones have more, one by one."""
    data = [word.encode() for word in words]
    lengths = np.array(list(map(len, data)))
    starts, joined = lengths.cumsum() - lengths, np.frombuffer(b"".join(data), np.uint8)
    hashes = np.full(len(words), _BASIS, np.uint32)
    for place in range(min(int(lengths.max()), _LONG)):
        those = (lengths > place).nonzero()[0]
        hashes[those] = (hashes[those] ^ _SIGNED[joined[starts[those] + place]]) * np.uint32(_PRIME)
    for number in (lengths > _LONG).nonzero()[0].tolist():
        hashes[number] = _hash(data[number][_LONG:], int(hashes[number]))
    return hashes


def _hash(data: bytes, value: int = _BASIS) -> int:
    for byte in data:
        value = (value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * _PRIME & 0xFFFFFFFF
    return value


def _parts(words: Sequence[str], lengths: range) -> tuple[_Places, _Hashes]:
    """The parts of words, by their lengths in characters, with marks at both ends: of which word; hashes."""
    data = np.frombuffer("".join(f"<{word}>" for word in words).encode(), np.uint8)
    starts = (data & 0xC0 != 0x80).nonzero()[0]
    widths = np.diff(starts, append=len(data))
    owners = np.repeat(np.arange(len(words)), [len(word) + 2 for word in words])
    columns = [(widths > k, _SIGNED[data.take(starts + k, mode="clip")]) for k in range(int(widths.max()))]
    hashes = np.full(len(starts), _BASIS, np.uint32)
    found = []
    for length in range(1, lengths.stop):
        hashes = hashes[: len(starts) - length + 1]
        for there, byte in columns:
            longer = (hashes ^ byte[length - 1 :]) * np.uint32(_PRIME)
            hashes = np.where(there[length - 1 :], longer, hashes)
        if length in lengths:
            within = owners[: len(hashes)] == owners[length - 1 :]
            found.append((owners[: len(hashes)][within], hashes[within]))
    return np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])


@dataclass(frozen=True, slots=True)
class _Model:
    words: list[str]
    numbers: _Numbers
    """Of the words, then of parts and pairs by their hash: what each adds to the log-odds."""
    shortest: int
    longest: int


def _read(data: bytes) -> _Model:
    """fastText's file format, version 12: arguments, dictionary, quantized vectors, labels' vectors."""
    file = _File(data)
    _, _, dimension, *_, shortest, longest, _ = file.numbers("<i4", 14)
    file.numbers("<f8", 1)
    size, words, _ = file.numbers("<i4", 3)
    file.numbers("<i8", 2)
    entries = [file.entry() for _ in range(size)]
    file.numbers("?", 1)
    vectors = file.quantized()
    file.numbers("?", 1)
    labels = file.numbers("<i8", 2)[0]
    positive = entries[words:].index(POSITIVE)
    of_labels = file.numbers("<f4", labels * dimension).reshape(labels, dimension).astype(np.float64)
    return _Model(
        words=entries[:words],
        numbers=vectors @ (of_labels[positive] - of_labels[1 - positive]),
        shortest=int(shortest),
        longest=int(longest),
    )


class _File:
    """The bytes of a model, read from first to last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def numbers(self, kind: str, count: int) -> NDArray[Any]:
        """So many numbers of a type of NumPy's."""
        found = np.frombuffer(self._data, kind, count, self._at)
        self._at += found.nbytes
        return found

    def entry(self) -> str:
        """A word or label of the dictionary; behind it stand a count of 8 bytes and a type of 1."""
        end = self._data.index(b"\0", self._at)
        word = self._data[self._at : end].decode()
        self._at = end + 10
        return word

    def quantized(self) -> _Numbers:
        """Vectors whose parts and norms are chosen from code books (Joulin et al. 2016, FastText.zip)."""
        (normed,) = self.numbers("?", 1)
        rows, _ = self.numbers("<i8", 2)
        codes = self.numbers("u1", self.numbers("<i4", 1)[0])
        vectors = self._chosen(codes, rows)
        return vectors * self._chosen(self.numbers("u1", rows), rows) if normed else vectors

    def _chosen(self, codes: NDArray[np.uint8], rows: int) -> _Numbers:
        dimension, parts, width, last = self.numbers("<i4", 4)
        book = self.numbers("<f4", dimension * _CODEBOOK)
        columns = [codes.reshape(rows, parts)[:, part] for part in range(parts)]
        widths = [width] * (parts - 1) + [last]
        books = np.split(book, np.cumsum(widths[:-1]) * _CODEBOOK)
        chosen = [part.reshape(_CODEBOOK, -1)[column] for part, column in zip(books, columns, strict=True)]
        return np.concatenate(chosen, axis=1).astype(np.float64)
