"""Text to token ids and back.

The tokenizer of a run is trained on its documents (:func:`train`) or read in any of the usual formats
(:func:`read_existing`), and published by the tokenizer stage (:func:`publish`, :func:`load_published`). Start
reading with the protocol :class:`Tokenizer`, which :class:`SentencePieceTokenizer` and
:class:`HuggingFaceTokenizer` implement; :mod:`core.tokenizer.chat` encodes conversations.
"""

from core.tokenizer.existing import read_existing
from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import Tokenizer
from core.tokenizer.published import STAGE, copy_published, load_published, publish
from core.tokenizer.sentencepiece_model import SentencePieceTokenizer
from core.tokenizer.training import train

__all__ = [
    "STAGE",
    "HuggingFaceTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "copy_published",
    "load_published",
    "publish",
    "read_existing",
    "train",
]
