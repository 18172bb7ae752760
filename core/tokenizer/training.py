"""Train a tokenizer: byte-pair encoding (Sennrich et al. 2016) with SentencePiece."""

import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

import sentencepiece

from core import config
from core.errors import InputError
from core.manifest import Manifest, Stage
from core.tokenizer.sentencepiece_model import (
    BOS,
    CHAT_TOKENS,
    EOS,
    MODEL,
    PAD,
    UNKNOWN,
    SentencePieceTokenizer,
)

COVERAGE = 0.9995
"""Share of characters with a token of their own; the rarest are encoded as bytes."""
SENTENCE = re.compile(r"[^\n]{1,2000}\n{0,100}|\n{1,100}")
"""Unit of training: a line with the line breaks after it. The trainer's 16-bit positions limit its length."""


def train(texts: Iterable[str], settings: config.TokenizerConfig, stage: Stage) -> Manifest:
    """Train a tokenizer and publish it in the folder of ``stage``.

    The result depends only on the vocabulary size and the texts, not their order: the trainer counts words,
    breaks ties by the tokens themselves and runs in one thread. Raises :class:`InputError` if there is too
    little text for the vocabulary.
    """
    model = _train_model(texts, settings.vocabulary_size)
    tokenizer = SentencePieceTokenizer(model)
    return stage.publish(
        counts={"vocabulary_size": tokenizer.vocabulary_size},
        files=[stage.write(MODEL, model, rows=1)],
        facts={"sha256": tokenizer.sha256, "special": tokenizer.special},
    )


def _train_model(texts: Iterable[str], vocabulary_size: int) -> bytes:
    sentences = _sentences(texts)
    first = next(sentences, None)
    if first is None:
        raise InputError("no text to train a tokenizer on; at least one document is required: check them")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=chain([first], sentences),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            character_coverage=COVERAGE,
            byte_fallback=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 20,
            unk_id=UNKNOWN,
            unk_surface="",
            bos_id=BOS,
            eos_id=EOS,
            pad_id=PAD,
            control_symbols=list(CHAT_TOKENS),
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        cause = " ".join(str(error).rpartition("] ")[2].split())
        raise InputError(
            f"tokenizer.vocabulary_size = {vocabulary_size}: SentencePiece rejects it ({cause}); raise it"
        ) from None
    return _check_size(model.getvalue(), vocabulary_size)


def _check_size(model: bytes, vocabulary_size: int) -> bytes:
    found = SentencePieceTokenizer(model).vocabulary_size
    if found < vocabulary_size:
        raise InputError(
            f"tokenizer.vocabulary_size = {vocabulary_size}: the text supports only {found} tokens; "
            f"set at most {found} or give more text"
        )
    return model


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from SENTENCE.findall(text)
