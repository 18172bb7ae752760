"""Encoding and decoding with a trained SentencePiece model.

SentencePiece writes a space as U+2581 inside its pieces, so that a U+2581 in the text itself would come back
as a space. Here such a character is spelled by the three byte tokens of its UTF-8 form, and the round trip
is exact: ``decode(encode(text)) == text`` for every text that UTF-8 can hold.

Training never joins a space to what stands before it, nor an ASCII letter to an ASCII digit or sign. No merge
crosses such a place, so a text may be cut there and encoded word by word with the same result. Words repeat,
and their encodings are remembered; this is what makes encoding fast.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import sentencepiece

from core import manifest, storage
from core.tokenizer import tokenizer_json
from core.tokenizer.huggingface import HuggingFaceTokenizer, TokenizerSettings
from core.tokenizer.tokenizer_json import SPACE

STAGE = "tokenizer"
MODEL = "tokenizer.model"
UNKNOWN, BOS, EOS, PAD = 0, 1, 2, 3
CHAT = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""Marks of a conversation. They have ids from the start, are never met in pre-training, and no text encodes
to them."""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""A conversation as text: every turn between its mark and the end mark, with nothing else."""

_SIGN, _OTHER = r"[\x00-\x1f!-/:-@\[-`{-\x7f]", r"[^\x00-\x7f]"
WORD = re.compile(rf" *+(?:[A-Za-z]++(?!{_OTHER})|[0-9](?!{_OTHER})|{_SIGN}++(?!{_OTHER})|[^ ]+)| +")
"""Letters, a digit, signs, or (next to other characters) all up to the next space; with the spaces before."""
REMEMBERED_WORDS = 1 << 18
LONGEST_REMEMBERED = 24
"""Characters. Longer words seldom come again."""


class SentencePieceTokenizer:
    """A trained tokenizer. It pickles as its model, so that Spark can broadcast it."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._words = _Words(self._processor)
        self.sha256 = hashlib.sha256(model).hexdigest()
        """The hash of the model file; shards and checkpoints pin it."""
        self.vocabulary_size: int = self._processor.vocab_size()
        self.bos, self.eos, self.pad = BOS, EOS, PAD
        self.special = {self._processor.id_to_piece(token): token for token in range(PAD + 1 + len(CHAT))}
        """Id of every token that stands for no text, by its name."""
        parts = (("bos_token", BOS), ("eos_token", EOS), ("pad_token", PAD), ("unk_token", UNKNOWN))
        self.names = {part: str(self._processor.id_to_piece(token)) for part, token in parts}
        """Tokens by the part they play, as chat templates ask for them."""
        self.chat_template = TEMPLATE

    def __reduce__(self) -> tuple[Callable[[bytes], "SentencePieceTokenizer"], tuple[bytes]]:
        return _unpickled, (self._model,)

    @staticmethod
    def load(folder: str) -> "SentencePieceTokenizer":
        """The tokenizer that the tokenizer stage left in ``folder``.

        Raises :class:`core.errors.ManifestError` if it is unfinished or was altered.
        """
        manifest.verify(folder, manifest.read(folder, STAGE))
        return SentencePieceTokenizer(storage.read_bytes(storage.join(folder, MODEL)))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without bos and eos."""
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    def encode_array(self, text: str) -> npt.NDArray[np.int32]:
        """The token ids of a text as an array, without bos and eos."""
        return np.frombuffer(b"".join(map(self._words.__getitem__, WORD.findall(text))), np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of token ids. Special tokens stand for no text; bytes that are not UTF-8 become U+FFFD."""
        plain = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        return str(self._processor.decode(plain))

    def byte_lengths(self) -> npt.NDArray[np.int32]:
        """UTF-8 bytes that each token id stands for, ``int32[vocabulary_size]``; 0 for the special ones."""
        return np.array([self._byte_length(token) for token in range(self.vocabulary_size)], np.int32)

    def write(self, folder: str) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` into ``folder``, and the model itself.

        The pieces are written with plain spaces: so a U+2581 of the text is no piece and is spelled in bytes,
        as here.
        """
        pieces = [self._processor.id_to_piece(token) for token in range(self.vocabulary_size)]
        text = {
            piece: self._processor.get_score(token)
            for token, piece in enumerate(pieces)
            if token not in self.special.values() and not self._processor.is_byte(token)
        }
        merges = tokenizer_json.merges({piece.replace(SPACE, " "): score for piece, score in text.items()})
        plain = [piece.replace(SPACE, " ") if piece in text else piece for piece in pieces]
        added = [(token, name, True) for name, token in self.special.items()]
        written = json.dumps(tokenizer_json.plain(plain, merges, added), ensure_ascii=False)
        HuggingFaceTokenizer(written, TokenizerSettings(self.names, True, self.chat_template)).write(folder)
        storage.write_atomic(storage.join(folder, MODEL), self._model)

    def _byte_length(self, token: int) -> int:
        if token in self.special.values():
            return 0
        if self._processor.is_byte(token):
            return 1
        return len(self._processor.id_to_piece(token).replace(SPACE, " ").encode())


@functools.lru_cache(maxsize=2)
def _unpickled(model: bytes) -> SentencePieceTokenizer:
    """One tokenizer for all the tasks of a Spark worker, so that each finds the words of those before it."""
    return SentencePieceTokenizer(model)


class _Words(dict[str, bytes]):
    """The int32 token ids of words, encoded when first asked for."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        super().__init__()
        self._processor = processor
        self._literal_space: list[int] = [processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]

    def __missing__(self, word: str) -> bytes:
        first, *others = word.split(SPACE)
        ids: list[int] = self._processor.encode(first)
        for part in others:
            ids += self._literal_space + self._processor.encode(part)
        encoded = np.array(ids, np.int32).tobytes()
        if len(word) <= LONGEST_REMEMBERED:
            if len(self) >= REMEMBERED_WORDS:
                self.clear()
            self[word] = encoded
        return encoded
