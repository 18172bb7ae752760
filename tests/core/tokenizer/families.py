"""Small tokenizers of the families in use, with marks for conversations."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "You are a helpful assistant. What is the capital of France? It is Paris.\n\nThank you, and good day.\n",
    "user assistant system the answer is four and twenty: a good day\tto you, sir. é naïve 日本 \n\n",
] * 50
SPECIAL = ["<unk>", "<s>", "</s>"]
MARKS = ["<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>"]
PLAIN_MARKS = ["<think>", "</think>"]
"""Added tokens that are not special."""
PATTERN = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def _finished(tokenizer: Tokenizer, flags: Mapping[str, bool]) -> Tokenizer:
    """Return the tokenizer with marks; all added tokens have ``flags``."""
    definition = json.loads(tokenizer.to_str())
    named = [token | flags for token in definition["added_tokens"] if token["content"] in SPECIAL]
    result = Tokenizer.from_str(json.dumps(definition | {"added_tokens": named}))
    flags = {"normalized": False, **flags}
    result.add_special_tokens([AddedToken(name, special=True, **flags) for name in MARKS])
    result.add_tokens([AddedToken(name, special=False, **flags) for name in PLAIN_MARKS])
    return result


def byte_fallback(normalizer: Any = None, pre_tokenizer: Any = None, **flags: bool) -> Tokenizer:
    """Train a tokenizer like those converted from SentencePiece."""
    result = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if normalizer:
        result.normalizer = normalizer
    if pre_tokenizer:
        result.pre_tokenizer = pre_tokenizer
    strip = decoders.Strip(" ", 1, 0)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip]
    result.decoder = decoders.Sequence(steps)
    special = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=620, special_tokens=special, show_progress=False)
    result.train_from_iterator(TEXTS, trainer)
    return _finished(result, flags)


def byte_level(pre_tokenizer: Any, normalizer: Any = None, **flags: bool) -> Tokenizer:
    """Train a tokenizer like those of GPT-2, Llama 3 and Qwen."""
    result = Tokenizer(models.BPE())
    result.pre_tokenizer, result.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer:
        result.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    result.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=520, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return _finished(result, flags)


def unigram(pre_tokenizer: Any, normalizer: Any = None) -> Tokenizer:
    """Train a tokenizer like T5's."""
    result = Tokenizer(models.Unigram())
    result.pre_tokenizer, result.decoder = pre_tokenizer, decoders.Metaspace()
    if normalizer:
        result.normalizer = normalizer
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    result.train_from_iterator(TEXTS, trainer)
    return _finished(result, {})


def _legacy() -> Any:
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _metaspace(scheme: str, *, split: bool = False) -> Any:
    return pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)


def _split() -> Any:
    byte_step = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(PATTERN, "isolated"), byte_step])


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "llama-2": lambda: byte_fallback(_legacy()),
    "llama-2, normalized": lambda: byte_fallback(_legacy(), normalized=True),
    "phi-3, rstrip": lambda: byte_fallback(_legacy(), rstrip=True),
    "mistral, first": lambda: byte_fallback(None, _metaspace("first")),
    "first, lstrip": lambda: byte_fallback(None, _metaspace("first"), lstrip=True),
    "always": lambda: byte_fallback(None, _metaspace("always", split=True)),
    "gemma": lambda: byte_fallback(
        normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")
    ),
    "gpt-2, prefix space": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "llama-3, single word": lambda: byte_level(_split(), single_word=True),
    "qwen, nfc": lambda: byte_level(_split(), normalizers.NFC()),
    "lowercase": lambda: byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.Lowercase(), normalized=True
    ),
    "t5": lambda: unigram(
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), _metaspace("always", split=True)]),
        normalizers.NFKC(),
    ),
}
"""Family -> function that trains its tokenizer."""


def write(folder: Path, tokenizer: Tokenizer, template: str = "", **settings: Any) -> Path:
    """Write a tokenizer to a folder for Hugging Face's libraries."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    values = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "chat_template": template, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    return folder
