"""Read SentencePiece model files, and convert them to a ``tokenizer.json``.

A model file is a message of Protocol Buffers (``sentencepiece_model.proto`` of SentencePiece). Only the
fields that determine token ids are read, so that the protobuf library is not needed.
"""

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import sentencepiece

from core.errors import InputError
from core.tokenizer import tokenizer_json
from core.tokenizer.tokenizer_json import SPACE

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Types of pieces."""
UNIGRAM, BPE = 1, 2
"""Types of models. The others split text into words or characters."""
SCORE_UNIT = 2.0**-6
"""Scores are rounded to multiples of this, so that sums of them are exact in single precision up to 2¹⁸."""
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
"""Fields of the message."""
_TEXT, _SCORE, _TYPE = 1, 2, 3
"""Fields of a piece."""
_MODEL_TYPE, _SUFFIX = 3, 24
"""Fields of the trainer's settings."""
_CHARSMAP, _PREFIX, _EXTRA_SPACES, _ESCAPES = 2, 3, 4, 5
"""Fields of the normalizer's settings."""


class Piece(NamedTuple):
    """A token of a model."""

    text: str
    score: float
    type: int


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Content of a model file."""

    pieces: list[Piece]
    type: int
    charsmap: bytes
    """Precompiled normalization of characters; empty if there is none."""
    prefix: bool
    """True if a space is put in front of every text."""
    removes_spaces: bool
    """True if spaces at the ends of a text, and after other spaces, are removed."""
    names: dict[str, str]
    """Tokens by role: ``bos_token``, ``eos_token``, ``pad_token`` and ``unk_token``, those that there are."""

    def definition(self) -> dict[str, Any]:
        """Return the definition of the tokenizer in the format of ``tokenizer.json``.

        It gives the ids of SentencePiece, with these exceptions. Unigram models: where several segmentations
        are equally likely up to rounding, and text like ``<0x41>`` if one of its characters has no token.
        Models that add or remove spaces: next to user-defined tokens.
        """
        tokens = [piece.text for piece in self.pieces]
        added = [
            (number, piece.text.replace(SPACE, " "), piece.type != USER_DEFINED)
            for number, piece in enumerate(self.pieces)
            if piece.type in (CONTROL, UNKNOWN, USER_DEFINED)
        ]
        if self.type == BPE:
            normal = {piece.text: piece.score for piece in self.pieces if piece.type == NORMAL}
            result = tokenizer_json.byte_fallback(tokens, tokenizer_json.merges(normal), added)
            result["model"] |= {"unk_token": self.names["unk_token"], "fuse_unk": True}
        else:
            result = tokenizer_json.unigram(self.scored(), added, tokens.index(self.names["unk_token"]))
        return tokenizer_json.with_spaces(
            result,
            prefix=self.prefix,
            removes_spaces=self.removes_spaces,
            charsmap=base64.b64encode(self.charsmap).decode(),
        )

    def scored(self) -> list[tuple[str, float]]:
        """Return tokens and scores for a unigram model that knows no types of tokens.

        Only normal tokens may be found in text. The others get a score below that of any other segmentation.
        """
        worst = 16 * min((piece.score for piece in self.pieces if piece.type == NORMAL), default=-1.0)
        return [(piece.text, piece.score if piece.type == NORMAL else worst) for piece in self.pieces]


def parse(model: bytes, source: str) -> ModelFile:
    """Parse a model file; ``source`` names it in errors.

    Raises :class:`InputError` if SentencePiece rejects it, and for models that are neither BPE nor unigram.
    """
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        content = list(_fields(model))
        trainer = _settings(content, _TRAINER)
        normalizer = _settings(content, _NORMALIZER)
        pieces = [_piece(value) for number, value, _ in content if number == _PIECE]
        if processor.vocab_size() != len(pieces) or processor.unk_id() < 0:
            raise ValueError
    except (IndexError, RuntimeError, UnicodeDecodeError, ValueError, struct.error):
        raise InputError(
            f"{source}: not a SentencePiece model, or damaged; get the whole file again"
        ) from None
    unusual = trainer.get(_SUFFIX) or not normalizer.get(_ESCAPES, 1)
    if unusual or trainer.get(_MODEL_TYPE, UNIGRAM) not in (UNIGRAM, BPE):
        raise InputError(
            f"{source}: a SentencePiece model of words or characters, or with spaces after words; "
            "only BPE and unigram models with spaces before words are supported: choose another"
        )
    ids = {
        "unk_token": processor.unk_id(),
        "bos_token": processor.bos_id(),
        "eos_token": processor.eos_id(),
        "pad_token": processor.pad_id(),
    }
    return ModelFile(
        pieces,
        int(trainer.get(_MODEL_TYPE, UNIGRAM)),
        bytes(normalizer.get(_CHARSMAP, b"")),
        bool(normalizer.get(_PREFIX, 1)),
        bool(normalizer.get(_EXTRA_SPACES, 1)),
        {role: pieces[number].text for role, number in ids.items() if number >= 0},
    )


def model_type(model: bytes) -> int:
    """Return the type of a valid model file, :data:`UNIGRAM` or :data:`BPE`."""
    return int(_settings(list(_fields(model)), _TRAINER).get(_MODEL_TYPE, UNIGRAM))


def with_rounded_scores(model: bytes) -> bytes:
    """Return a model file with scores rounded to multiples of :data:`SCORE_UNIT`.

    Sums of scores then do not depend on their order or precision, so that all implementations of unigram
    models choose the same segmentation.
    """
    result = bytearray(model)
    for number, piece, start in _fields(model):
        if number != _PIECE:
            continue
        for inner, value, offset in _fields(bytes(piece)):
            if inner == _SCORE:
                (score,) = struct.unpack("<f", value)
                struct.pack_into("<f", result, start + offset, round(score / SCORE_UNIT) * SCORE_UNIT)
    return bytes(result)


Field = tuple[int, Any, int]
"""Number of a field, its value as an integer or as bytes, and the position of the value."""


def _fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of a message. Raises :class:`IndexError` or :class:`ValueError` if it is damaged."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        match key & 7:
            case 0:
                start = position
                value, position = _varint(data, position)
                yield key >> 3, value, start
                continue
            case 1:
                length = 8
            case 2:
                length, position = _varint(data, position)
            case 5:
                length = 4
            case _:
                raise ValueError
        yield key >> 3, data[position : position + length], position
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, the lowest first, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _settings(content: list[Field], number: int) -> dict[int, Any]:
    return {
        inner: value for field, data, _ in content if field == number for inner, value, _ in _fields(data)
    }


def _piece(data: bytes) -> Piece:
    fields = {number: value for number, value, _ in _fields(data)}
    (score,) = struct.unpack("<f", fields.get(_SCORE, bytes(4)))
    return Piece(fields.get(_TEXT, b"").decode(), score, int(fields.get(_TYPE, NORMAL)))
