"""Text to token ids and back.

:class:`SentencePieceTokenizer` is trained on a run's own documents, :class:`HuggingFaceTokenizer` comes with
imported models. Start reading with the protocol :class:`Tokenizer`; :mod:`core.tokenizer.chat` encodes
conversations.
"""

from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import Tokenizer
from core.tokenizer.sentencepiece_model import STAGE, SentencePieceTokenizer
from core.tokenizer.training import train

__all__ = ["STAGE", "HuggingFaceTokenizer", "SentencePieceTokenizer", "Tokenizer", "train"]
