"""Encode and decode with a trained SentencePiece model.

SentencePiece represents a space by U+2581 and therefore decodes a U+2581 of the text to a space. Here U+2581
is encoded as the three byte tokens of its UTF-8 form, so that ``decode(encode(text)) == text`` for every text
that UTF-8 can represent.

Training never joins a space with the character before it, nor an ASCII letter with an ASCII digit or symbol.
Since no token crosses these boundaries, text can be encoded word by word with the same result. SentencePiece
is slow for BPE, for which encodings of words are cached. For unigram models a cache would not be faster.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import sentencepiece

from core import storage
from core.tokenizer import sentencepiece_file, tokenizer_json
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import Encoding, Mark, id_array
from core.tokenizer.tokenizer_json import SPACE

MODEL = "tokenizer.model"
UNKNOWN, BOS, EOS, PAD = 0, 1, 2, 3
CHAT_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""Special tokens of conversations. They are part of every vocabulary, but do not occur in pre-training."""
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", *CHAT_TOKENS)
"""The special tokens of trained tokenizers, by id."""
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
"""Special tokens by role; variables of chat templates."""
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Renders each message between the token of its role and ``<|end|>``."""

_SYMBOL, _OTHER = r"[\x00-\x1f!-/:-@\[-`{-\x7f]", r"[^\x00-\x7f]"
WORD = re.compile(rf" *+(?:[A-Za-z]++(?!{_OTHER})|[0-9](?!{_OTHER})|{_SYMBOL}++(?!{_OTHER})|[^ ]+)| +")
"""A word: leading spaces, then ASCII letters, one digit, or symbols; next to non-ASCII characters, everything
up to the next space."""
CACHED_WORDS = 1 << 18
MAX_CACHED_LENGTH = 24
"""Characters. Longer words rarely repeat."""


class SentencePieceTokenizer:
    """A trained tokenizer; pickled as its model file, so that Spark can broadcast it."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._words = _WordCache(self._processor)
        self._is_unigram = sentencepiece_file.model_type(model) == sentencepiece_file.UNIGRAM
        self.sha256 = hashlib.sha256(model).hexdigest()
        """Hash of the model file. Shards and checkpoints record it."""
        self.vocabulary_size: int = self._processor.vocab_size()
        self.bos, self.eos, self.pad = BOS, EOS, PAD
        self.special = {name: token for token, name in enumerate(SPECIAL)}
        """Ids of the special tokens, which have no text, by name."""
        self.control = self.special
        """Ids of the tokens that text does not encode to, by name."""
        self.names = NAMES
        self.chat_template = CHAT_TEMPLATE

    def __reduce__(self) -> tuple[Callable[[bytes], "SentencePieceTokenizer"], tuple[bytes]]:
        return _unpickle, (self._model,)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without bos and eos."""
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """Return the token ids of a text as an array, without bos and eos."""
        return self.encode_batch([text])[0] if self._is_unigram else self._join(WORD.findall(text))

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Return the token ids of each text, without bos and eos.

        Texts of unigram models, and new words of BPE, are encoded in one call of the library, without the
        interpreter lock. Looking up words holds the lock, but is faster than encoding them.
        """
        if self._is_unigram:
            whole = [text for text in texts if SPACE not in text]
            found = iter(self._processor.encode(whole, num_threads=1))
            return [id_array(self._words.encode(text) if SPACE in text else next(found)) for text in texts]
        words = [WORD.findall(text) for text in texts]
        self._words.add(set().union(*words))
        return [self._join(each) for each in words]

    def _join(self, words: list[str]) -> npt.NDArray[np.int32]:
        return np.frombuffer(b"".join(map(self._words.__getitem__, words)), np.int32)

    def encode_marked(self, text: str, marks: Sequence[Mark], *, continues: bool = False) -> Encoding:
        """Encode a text with control tokens at ``marks``, which are in order and do not overlap.

        ``continues`` has no effect, since no space is put in front of text.
        """
        del continues
        pieces: list[npt.NDArray[np.int32]] = []
        lengths: list[npt.NDArray[np.int32]] = []
        position = 0
        for start, end, token in [*marks, Mark(len(text), len(text), -1)]:
            ids = self.encode_array(text[position:start])
            pieces += [ids, np.array([token], np.int32)]
            lengths += [self._byte_lengths[ids], np.array([len(text[start:end].encode())], np.int32)]
            position = end
        ids, ends = np.concatenate(pieces)[:-1], np.cumsum(np.concatenate(lengths)[:-1])
        starts = ends - np.diff(ends, prepend=0)
        data = np.frombuffer(text.encode(), np.uint8)
        characters = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])
        return Encoding(ids.tolist(), characters[starts + 1] - 1, characters[ends])

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Return the text of token ids. Special tokens are skipped, invalid UTF-8 becomes U+FFFD."""
        id_list = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        return str(self._processor.decode(id_list))

    @cached_property
    def _byte_lengths(self) -> npt.NDArray[np.int32]:
        return self.byte_lengths()

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 bytes of a token, which may be part of a character; empty for special tokens."""
        if token in self.special.values():
            return b""
        piece = str(self._processor.id_to_piece(token))
        return (
            bytes([int(piece[3:5], 16)])
            if self._processor.is_byte(token)
            else piece.replace(SPACE, " ").encode()
        )

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """Return the UTF-8 bytes of each token, ``int32[vocabulary_size]``; 0 for special tokens."""
        return np.array([len(self.token_bytes(token)) for token in range(self.vocabulary_size)], np.int32)

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json``, ``tokenizer_config.json`` and the SentencePiece model to ``folder``.

        Tokens are written with plain spaces instead of U+2581, so that a U+2581 of the text is encoded as
        bytes there, too.
        """
        content = sentencepiece_file.parse(self._model, MODEL)
        added = [(token, name, True) for name, token in self.special.items()]
        if content.type == sentencepiece_file.UNIGRAM:
            scored = [(token.replace(SPACE, " "), score) for token, score in content.scored()]
            definition = tokenizer_json.unigram(scored, added, UNKNOWN)
        else:
            tokens = [piece.text.replace(SPACE, " ") for piece in content.pieces]
            scores = {
                token: piece.score
                for token, piece in zip(tokens, content.pieces, strict=True)
                if piece.type == sentencepiece_file.NORMAL
            }
            definition = tokenizer_json.byte_fallback(tokens, tokenizer_json.merges(scores), added)
        settings = TokenizerSettings(self.names, True, self.chat_template)
        HuggingFaceTokenizer(json.dumps(definition, ensure_ascii=False), settings).write(folder)
        storage.write_atomic(storage.join(folder, MODEL), self._model)


@functools.lru_cache(maxsize=2)
def _unpickle(model: bytes) -> SentencePieceTokenizer:
    """Return one tokenizer for all tasks of a Spark worker, so that they share the word cache."""
    return SentencePieceTokenizer(model)


class _WordCache(dict[str, bytes]):
    """Maps words to int32 token ids; words are encoded on first use."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        super().__init__()
        self._processor = processor
        self._u2581: list[int] = [processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]

    def add(self, words: set[str]) -> None:
        """Encode the words that are not cached."""
        new = [
            word for word in words.difference(self) if len(word) <= MAX_CACHED_LENGTH and SPACE not in word
        ]
        if len(self) + len(new) > CACHED_WORDS:
            self.clear()
        for word, ids in zip(new, self._processor.encode(new, num_threads=1), strict=True):
            self[word] = id_array(ids).tobytes()

    def encode(self, text: str) -> list[int]:
        """Encode a text of any length that may have U+2581."""
        first, *others = text.split(SPACE)
        ids: list[int] = self._processor.encode(first)
        for part in others:
            ids += self._u2581 + self._processor.encode(part)
        return ids

    def __missing__(self, word: str) -> bytes:
        encoded = id_array(self.encode(word)).tobytes()
        if len(word) <= MAX_CACHED_LENGTH:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = encoded
        return encoded
