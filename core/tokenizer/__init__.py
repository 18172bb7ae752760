"""Text to token ids and back: our own SentencePiece BPE, and the tokenizers that imported models bring."""

from core.tokenizer.hub import HubTokenizer
from core.tokenizer.processor import STAGE, Tokenizer
from core.tokenizer.text import TextTokenizer
from core.tokenizer.training import train

__all__ = ["STAGE", "HubTokenizer", "TextTokenizer", "Tokenizer", "train"]
