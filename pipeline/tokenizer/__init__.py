"""Text to token ids and back: our own SentencePiece BPE, and the tokenizers that imported models bring."""

from pipeline.tokenizer.hub import HubTokenizer
from pipeline.tokenizer.processor import STAGE, Tokenizer
from pipeline.tokenizer.text import TextTokenizer
from pipeline.tokenizer.training import train

__all__ = ["STAGE", "HubTokenizer", "TextTokenizer", "Tokenizer", "train"]
