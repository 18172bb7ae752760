"""Text to token ids and back: our own SentencePiece BPE, and the tokenizers that imported models bring."""

from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import Tokenizer
from core.tokenizer.sentencepiece_model import STAGE, SentencePieceTokenizer
from core.tokenizer.training import train

__all__ = ["STAGE", "HuggingFaceTokenizer", "SentencePieceTokenizer", "Tokenizer", "train"]
