"""Text to token ids and back: SentencePiece BPE with byte fallback, lossless for every text."""

from pipeline.tokenizer.processor import STAGE, Tokenizer
from pipeline.tokenizer.training import train

__all__ = ["STAGE", "Tokenizer", "train"]
