"""Chat templates render as in transformers, reasoning included, and stay in their sandbox."""

import datetime
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import pre_tokenizers

from core.errors import InputError
from core.tokenizer import HuggingFaceTokenizer
from core.tokenizer.chat import ChatTemplate, Message
from tests.core.tokenizer.families import byte_level, write

MESSAGES = [Message("user", "Hé?"), Message("assistant", 'It "is".'), Message("user", " So <b>?\n")]
TURN = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}"
FEATURES = {
    "loop controls": "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}"
    "{{ m.content }}{% if loop.index > 5 %}{% break %}{% endif %}{% endfor %}",
    "json": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}"
    "{{ messages[0] | tojson(ensure_ascii=True, separators=(',', ':'), sort_keys=True) }}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
    "{{ ns.n }}",
    "tools and documents": "{{ tools is none }} {{ documents is none }} {% if tools %}no{% endif %}",
    "undefined": "{{ enable_thinking }}{{ enable_thinking is defined }}{{ pad_token }}{{ bos_token }}",
    "block space": "  {% if true %}\n  x\n  {% endif %}\n{{- messages[0]['role'] -}}  \n y\n",
    "filters": "{% for m in messages | rejectattr('role', 'equalto', 'assistant') %}"
    "{{ m.content | trim | upper }}{% endfor %}{{ messages | map(attribute='role') | join(', ') }}",
    "macro": "{% macro turn(m) %}" + TURN + "{% endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}",
    "dictionary": "{{ dict(a=1)['a'] }}{{ {'b': 2}.items() | list }}{{ messages[0].get('name', 'nobody') }}",
    "strings": "{% for m in messages %}{{ m.content[:2] ~ m.content.split('?')[-1] ~ m.content[::-1] }}"
    "{% endfor %}",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(
        tmp_path_factory.mktemp("made"), byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    )


def chat(folder: Path, template: str, **settings: Any) -> tuple[ChatTemplate, Any]:
    """Return our template and the tokenizer of transformers, after replacing the template in ``folder``."""
    (folder / "chat_template.jinja").write_text(template)
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    return ChatTemplate(HuggingFaceTokenizer.load(str(folder)), **settings), peer


def as_dicts(messages: list[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


@pytest.mark.parametrize("name", FEATURES)
def test_features_of_transformers_are_supported(name: str, made: Path) -> None:
    own, peer = chat(made, FEATURES[name])
    assert own.prompt(MESSAGES) == peer.apply_chat_template(as_dicts(MESSAGES), return_dict=False)


def test_dates_are_those_of_the_day_or_of_the_given_day(made: Path) -> None:
    template = "{{ strftime_now('%d %B %Y') }}"
    own, peer = chat(made, template)
    days = []
    for _ in range(2):  # in case that midnight passes
        days.append((own.prompt(MESSAGES), peer.apply_chat_template(as_dicts(MESSAGES), return_dict=False)))
    assert any(one == other for one, other in days)
    fixed, _ = chat(made, template, today=datetime.date(2020, 2, 29))
    assert fixed.prompt(MESSAGES) == HuggingFaceTokenizer.load(str(made)).encode("29 February 2020")


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.role + ':' }}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% endfor %}",
        "{% for m in messages %}{%- if m.role == 'assistant' -%}\n <|assistant|>{%- generation -%}"
        "{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content | trim }}{% endif %}{% endfor %}",
        "{% macro say(m) %}{{ m.content }}{% endmacro %}{% for m in messages %}{% generation %}"
        "{% if m.role == 'assistant' %}{{ say(m) }}{% endif %}{% endgeneration %}{% endfor %}",
    ],
)
def test_generation_tags_are_the_loss_mask(template: str, made: Path) -> None:
    own, peer = chat(made, template)
    (example,) = own.examples(MESSAGES)
    theirs = peer.apply_chat_template(as_dicts(MESSAGES), return_assistant_tokens_mask=True)
    assert example.ids == theirs["input_ids"]
    assert example.learn == [bool(each) for each in theirs["assistant_masks"]]
    assert any(example.learn)
    assert own.prompt(MESSAGES) == peer.apply_chat_template(as_dicts(MESSAGES), return_dict=False)


CUTTING = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|assistant|>' + m.content.split('</think>')[-1] }}"
    "{% else %}{{ '<|user|>' + m.content }}{% endif %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>' }}{% endif %}"
)
"""Opens the reasoning in the prompt and never shows it."""
KEEPING_LAST = (
    "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}"
    "{{ '<|assistant|>\n' + m.content.split('</think>')[-1].lstrip('\n') }}"
    "{% elif m.role == 'assistant' %}{% set parts = m.content.split('</think>') %}"
    "{{ '<|assistant|>\n<think>\n' + parts[0].split('<think>')[-1].strip('\n') + '\n</think>\n\n' }}"
    "{{ parts[-1].lstrip('\n') }}{% else %}{{ '<|user|>' + m.content }}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
"""Shows the reasoning of the last answer only."""


def shown(tokenizer: HuggingFaceTokenizer, ids: list[int]) -> str:
    """Return the text of ids with the names of the special tokens."""
    names = {number: name for name, number in tokenizer.special.items()}
    return "".join(names.get(number) or tokenizer.decode([number]) for number in ids)


@pytest.mark.parametrize(
    ("template", "first", "second"),
    [
        (CUTTING, "2+2</think>4<|im_end|>", "so<|im_end|>"),
        (CUTTING, "<think>2+2</think>4<|im_end|>", "so<|im_end|>"),
        (KEEPING_LAST, "<think>\n2+2\n</think>\n\n4<|im_end|>", "<think>\nhm\n</think>\n\nso<|im_end|>"),
    ],
)
def test_reasoning_that_the_template_cuts_is_learned(
    template: str, first: str, second: str, made: Path
) -> None:
    own, peer = chat(made, template)
    tokenizer = HuggingFaceTokenizer.load(str(made))
    said = first.removesuffix("<|im_end|>"), second.removesuffix("<|im_end|>")
    messages = [Message("user", "?"), Message("assistant", said[0]), Message("user", "?")]
    messages.append(Message("assistant", said[1]))
    examples = own.examples(messages)
    learned = [
        shown(tokenizer, [number for number, learn in zip(*example, strict=True) if learn])
        for example in examples
    ]
    assert learned == [first.removeprefix("<think>" if template is CUTTING else ""), second]
    prompt = own.prompt(messages[:1])
    assert examples[0].ids[: len(prompt)] == prompt
    assert examples[0].learn.index(True) == len(prompt)
    theirs = peer.apply_chat_template(as_dicts(messages[:3]), add_generation_prompt=True, return_dict=False)
    assert own.prompt(messages[:3]) == theirs
    end = tokenizer.special["<|im_end|>"]
    assert own.stop == {tokenizer.eos, end}


def test_marks_that_are_not_special_stay_in_answers_and_are_only_theirs(made: Path) -> None:
    own, _ = chat(made, CUTTING)
    tokenizer = HuggingFaceTokenizer.load(str(made))
    close = tokenizer.control["</think>"]
    assert (
        tokenizer.decode([*tokenizer.encode("a"), close, tokenizer.eos, *tokenizer.encode("b")])
        == "a</think>b"
    )
    assert tokenizer.byte_lengths()[close] == len("</think>")
    assert close not in own.prompt([Message("user", "x</think>y")])
    assert own.examples([Message("user", "x"), Message("assistant", "a</think>b")])[0].ids.count(close) == 1


def test_templates_cannot_leave_the_sandbox(made: Path) -> None:
    for template in (
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__[1] }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ namespace.__init__.__globals__['sys'] }}",
        "{{ range(10 ** 9) | list }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ):
        own, _ = chat(made, template)
        with pytest.raises(InputError, match="refuses this conversation") as caught:
            own.prompt(MESSAGES)
        assert "\n" not in str(caught.value)


def test_refusals_and_halves_of_surrogates_are_errors_of_one_line(made: Path) -> None:
    own, _ = chat(
        made, "{% if messages[0].role == 'system' %}{{ raise_exception('No\nsystem role') }}{% endif %}"
    )
    with pytest.raises(InputError, match=r"refuses this conversation \(No system role\); change it"):
        own.prompt([Message("system", "x")])
    with pytest.raises(InputError, match="message 1 contains half of a surrogate pair"):
        own.prompt([Message("user", "x\ud83d")])
    with pytest.raises(InputError, match="is not Jinja"):
        chat(made, "{% generation %}never closed")
