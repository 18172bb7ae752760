"""Train a tokenizer of one of four kinds. In all of them, the special tokens have the same ids.

- ``bpe``: byte-pair encoding (Sennrich et al. 2016) with byte fallback, by SentencePiece.
- ``unigram``: unigram language model (Kudo 2018) with byte fallback, by SentencePiece.
- ``byte-bpe``: byte-pair encoding of bytes (Radford et al. 2019), by Hugging Face's ``tokenizers``.
- ``char``: a token per character, with byte fallback.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any

import sentencepiece
from tokenizers import Tokenizer as Learner
from tokenizers import trainers

from core.config import TokenizerConfig
from core.errors import InputError
from core.tokenizer import definition as definitions
from core.tokenizer import sentencepiece_file, tokenizer_json
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import Tokenizer
from core.tokenizer.sentencepiece_model import (
    BOS,
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    EOS,
    NAMES,
    PAD,
    SPECIAL,
    UNKNOWN,
    SentencePieceTokenizer,
)

COVERAGE = 0.9995
"""Share of characters with a token of their own; the rarest are encoded as bytes."""
SENTENCE = re.compile(r"[^\n]{1,2000}\n{0,100}|\n{1,100}")
"""Unit of training: a line with the line breaks after it. The trainer's 16-bit positions limit its length."""
PRE_TOKENIZER = "qwen2"
"""Pattern that splits text before byte-level BPE. Each digit is a token, as with SentencePiece."""
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
REQUIRED_CHARACTERS = "<0x123456789ABCDEF>"
"""Characters that a unigram model always has tokens for, so that text like ``<0x41>`` has a segmentation."""


def train(texts: Iterable[str], settings: TokenizerConfig) -> Tokenizer:
    """Train a tokenizer.

    The result depends only on ``settings.kind``, ``settings.vocabulary_size`` and the texts, not their order.
    Raises :class:`InputError` if there is too little text for the vocabulary.
    """
    remaining = iter(texts)
    first = next(remaining, None)
    if first is None:
        raise InputError("no text to train a tokenizer on; at least one document is required: check them")
    size = settings.vocabulary_size
    found = _TRAINERS[settings.kind](chain([first], remaining), size)
    if found.vocabulary_size < size and settings.kind != "char":
        raise InputError(
            f"tokenizer.vocabulary_size = {size}: the text supports only {found.vocabulary_size} tokens; "
            f"set at most {found.vocabulary_size} or give more text"
        )
    return found


def _bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """The trainer counts words and breaks ties by the tokens themselves."""
    return SentencePieceTokenizer(_train_sentencepiece(_sentences(texts), size, model_type="bpe"))


def _unigram(texts: Iterable[str], size: int) -> Tokenizer:
    """The order of sentences decides between equally frequent candidates, so they are sorted."""
    model = _train_sentencepiece(
        iter(sorted(_sentences(texts))),
        size,
        model_type="unigram",
        required_chars=REQUIRED_CHARACTERS,
    )
    return SentencePieceTokenizer(sentencepiece_file.with_rounded_scores(model))


def _train_sentencepiece(sentences: Iterator[str], size: int, **options: Any) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences,
            model_writer=model,
            vocab_size=size,
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
            **options,
        )
    except RuntimeError as error:
        cause = " ".join(str(error).rpartition("] ")[2].split())
        raise InputError(
            f"tokenizer.vocabulary_size = {size}: SentencePiece rejects it ({cause}); raise it"
        ) from None
    return model.getvalue()


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from SENTENCE.findall(text)


def _byte_bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """The trainer counts words and breaks ties by the ids of the tokens."""
    learner = Learner.from_str(json.dumps(tokenizer_json.byte_level([], [], [], PRE_TOKENIZER)))
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(tokenizer_json.BYTE_OF_CHARACTER),
            show_progress=False,
        ),
    )
    learned = json.loads(learner.to_str())["model"]
    tokens = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    return _from_definition(tokenizer_json.byte_level(tokens, learned["merges"], _added(), PRE_TOKENIZER))


def _char(texts: Iterable[str], size: int) -> Tokenizer:
    """If there are more characters than fit, the most frequent ones have tokens."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    room = size - len(SPECIAL) - len(BYTE_TOKENS)
    chosen = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:room])
    tokens = [*SPECIAL, *BYTE_TOKENS, *chosen]
    return _from_definition(tokenizer_json.byte_fallback(tokens, [], _added()))


def _added() -> tokenizer_json.Added:
    return [(token, name, True) for token, name in enumerate(SPECIAL)]


def _from_definition(definition: dict[str, Any]) -> Tokenizer:
    complete = definitions.with_bos(definition, NAMES["bos_token"], BOS)
    settings = TokenizerSettings(NAMES, True, CHAT_TEMPLATE)
    return HuggingFaceTokenizer(json.dumps(complete, ensure_ascii=False), settings)


_TRAINERS: Mapping[str, Callable[[Iterable[str], int], Tokenizer]] = MappingProxyType(
    {"bpe": _bpe, "unigram": _unigram, "byte-bpe": _byte_bpe, "char": _char}
)
