"""Chats of every family of tokenizers have the ids that transformers gives them."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tokenizer import HuggingFaceTokenizer
from core.tokenizer.chat import ChatTemplate, Message
from tests.core.tokenizer.families import FAMILIES, MARKS, PLAIN_MARKS, SPECIAL, write

BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}"
)
LINES = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TEMPLATES = {"brackets": BRACKETS, "lines": LINES, "chatml": CHATML, "plain": PLAIN}
WORDS = [
    "the capital",
    " of",
    "Paris.",
    "\n",
    "  ",
    "é",
    "e\u0301",
    "日本",
    "4",
    "!?",
    "[INST]",
    "\t",
    "Thank you",
]
contents = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("".join).map(str.strip).filter(bool)
conversations = st.lists(st.tuples(contents, contents), min_size=1, max_size=2).map(
    lambda pairs: [
        {"role": role, "content": content}
        for pair in pairs
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
)


@pytest.fixture(scope="module", params=list(FAMILIES))
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder with the family's tokenizer for each template."""
    tokenizer = FAMILIES[request.param]()
    folder = tmp_path_factory.mktemp("family")
    return {name: write(folder / name, tokenizer, template) for name, template in TEMPLATES.items()}


@pytest.fixture(scope="module")
def pairs(folders: dict[str, Path]) -> list[tuple[Any, ChatTemplate]]:
    """Return the tokenizer of transformers and our template for each template."""
    return [
        (
            transformers.AutoTokenizer.from_pretrained(folder),
            ChatTemplate(HuggingFaceTokenizer.load(str(folder))),
        )
        for folder in folders.values()
    ]


@settings(max_examples=15)
@given(messages=conversations)
def test_ids_and_masks_equal_those_of_transformers(
    pairs: list[tuple[Any, ChatTemplate]], messages: list[dict[str, str]]
) -> None:
    own = [Message(**message) for message in messages]  # type: ignore[arg-type]
    for peer, chat in pairs:
        prompt = peer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
        assert chat.prompt(own[:-1]) == prompt
        tagged = "{% generation %}" in peer.chat_template
        whole = peer.apply_chat_template(messages, return_assistant_tokens_mask=tagged)
        example = chat.example(own)
        assert example.ids == whole["input_ids"]
        assert example.ids[: len(prompt)] == prompt
        if tagged:
            assert example.learn == [bool(each) for each in whole["assistant_masks"]]


@settings(max_examples=15)
@given(typed=st.lists(st.sampled_from([*SPECIAL, *MARKS, *PLAIN_MARKS, "<|im_", "end|>", "x"]), max_size=5))
def test_typed_marks_are_text(pairs: list[tuple[Any, ChatTemplate]], typed: list[str]) -> None:
    """All control tokens are the template's: those around a message that contains none."""
    for _, chat in pairs:
        tokenizer = chat._tokenizer
        control = set(tokenizer.control.values()) - {tokenizer.special["<unk>"]}
        text = "".join(typed)
        found, expected = (
            [number for number in chat.prompt([Message("user", content)]) if number in control]
            for content in (text, ".")
        )
        remaining = iter(expected)  # tokens of single words are not recognised next to letters
        assert all(number in remaining for number in found)
        assert not control.intersection(tokenizer.encode(text))
