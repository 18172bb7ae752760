"""Read and write the files next to a ``tokenizer.json``: named tokens, bos and the chat template."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core import storage
from core.errors import InputError
from core.tokenizer.protocol import TOKENIZER_CONFIG

TEMPLATE_FILE = "chat_template.jinja"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
"""File of older versions of the transformers library. It applies unless the settings list added tokens."""
ADDED_TOKENS = "added_tokens_decoder"
TOKEN_LISTS = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """Settings of a tokenizer that its definition does not contain."""

    names: Mapping[str, str]
    """Tokens by role: ``bos_token``, ``eos_token``, ``pad_token``, ``unk_token`` and others."""
    add_bos: bool | None = None
    """True if documents start with ``bos_token``; None: as the definition's post-processor has it."""
    chat_template: str = ""
    special: tuple[str, ...] = ()
    """Special tokens without a role."""
    added: tuple[Mapping[str, Any], ...] = ()
    """Added tokens, in the form of the definition, by ascending id. The definition may lack them."""

    @property
    def all_special(self) -> tuple[str, ...]:
        """All tokens that these settings name as special."""
        return tuple(dict.fromkeys((*self.names.values(), *self.special)))


def read(folder: str) -> TokenizerSettings:
    """Read the settings of a Hugging Face folder.

    Raises :class:`InputError` for files that are not what they should be.
    """
    path = storage.join(folder, TOKENIZER_CONFIG)
    values = json_object(path) if storage.exists(path) else {}
    older = storage.join(folder, SPECIAL_TOKENS_MAP)
    if ADDED_TOKENS not in values and storage.exists(older):
        values |= json_object(older)
    try:
        listed = sorted((values.get(ADDED_TOKENS) or {}).items(), key=lambda item: int(item[0]))
        return TokenizerSettings(
            _names(values),
            values.get("add_bos_token"),
            _template(folder, path, values),
            _special(values),
            tuple({"content": _content(token), **token} for _, token in listed),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        cause = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: not a tokenizer's settings ({type(error).__name__}: {cause}); get the file again"
        ) from None


def write(folder: str, settings: TokenizerSettings) -> None:
    """Write ``tokenizer_config.json``. Added tokens are part of the definition by then."""
    values = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **settings.names,
        **({TOKEN_LISTS[0]: settings.special} if settings.special else {}),
        "add_bos_token": bool(settings.add_bos),
        "clean_up_tokenization_spaces": False,
        **({"chat_template": settings.chat_template} if settings.chat_template else {}),
    }
    data = json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
    storage.write_atomic(storage.join(folder, TOKENIZER_CONFIG), data)


def json_object(path: str) -> dict[str, Any]:
    """Read the JSON object in a file. Raises :class:`InputError` for any other content."""
    try:
        found = json.loads(storage.read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); get the file again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a JSON object; get the file again")
    return found


def read_text(path: str) -> str:
    """Read a UTF-8 text file, without the byte order mark that it may start with."""
    try:
        return storage.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; get the file again") from None


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the tokens by role; a value is a string, or an object with the string as ``content``."""
    extra = values.get("extra_special_tokens")
    return {
        role: _content(token)
        for role, token in {**values, **(extra if isinstance(extra, dict) else {})}.items()
        if role.endswith("_token") and isinstance(token, str | dict) and token
    }


def _special(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the special tokens without a role."""
    lists = [values.get(key) or [] for key in TOKEN_LISTS]
    tokens = [_content(token) for each in lists if isinstance(each, list) for token in each]
    return tuple(dict.fromkeys(token for token in tokens if token))


def _template(folder: str, settings_path: str, values: Mapping[str, Any]) -> str:
    """Return the chat template, from its own file or the settings; of several, the one named default."""
    path = storage.join(folder, TEMPLATE_FILE)
    if storage.exists(path):
        return read_text(path)
    found = values.get("chat_template") or ""
    if isinstance(found, list) and all(isinstance(each, dict) for each in found):
        found = {each.get("name"): each.get("template") for each in found}
    if isinstance(found, dict):
        found = found.get("default") or (*found.values(), "")[0]
    if not isinstance(found, str):
        raise InputError(f"{settings_path}: chat_template is {str(found)[:60]}; must be text: correct it")
    return found


def _content(token: Any) -> str:
    """Return the text of a token, which the settings may wrap in an object."""
    return str(token["content"] if isinstance(token, dict) else token)
