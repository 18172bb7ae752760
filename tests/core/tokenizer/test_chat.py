"""Chat templates: properties of every template, and ids compared with those of transformers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import transformers
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import InputError
from core.tokenizer import HuggingFaceTokenizer, SentencePieceTokenizer
from core.tokenizer.chat import ChatTemplate, Message
from core.tokenizer.hub_settings import TokenizerSettings
from core.tokenizer.sentencepiece_model import CHAT_TEMPLATE
from tests.core.tokenizer.samples import any_text

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|system|>system\nHelp.<|end|>\n' }}{% endif %}"
    "{{'<|user|>' + message['role'] + '\n' + message['content'] + '<|end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)
TRIMMING = (
    "{{- bos_token }}{%- for message in messages %}\n"
    "    {{- '<|user|>' + message.role + '<|system|>\n\n' + message['content'] | trim + '<|end|>' }}\n"
    "{%- endfor %}\n{%- if add_generation_prompt %}\n"
    "    {{- '<|user|>assistant<|system|>\n\n' }}\n{%- endif %}\n"
)
BRACKETS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + ' ' + eos_token }}{% else %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)
TEMPLATES = {"ours": CHAT_TEMPLATE, "chatml": CHATML, "trimming": TRIMMING, "brackets": BRACKETS}
marks = st.sampled_from(["<|end|>", "<|user|>", "</s>", "<s>", "\ufdd00.0\ufdd1", "\ufdd00.", "\n", " "])
answers = any_text.map(lambda text: text.strip() or "yes")
contents = any_text | st.lists(any_text | marks, max_size=4).map("".join)
conversations = st.tuples(st.booleans(), st.lists(st.tuples(contents, contents), min_size=1, max_size=3)).map(
    lambda drawn: turns(*drawn)
)


def turns(system: bool, pairs: list[tuple[str, str]]) -> list[Message]:
    found = [Message("system", pairs[0][1])] if system else []
    for question, answer in pairs:
        found += [Message("user", question), Message("assistant", answer)]
    return found


@pytest.fixture(scope="module")
def definition(tokenizer: SentencePieceTokenizer, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hub")
    tokenizer.write(str(folder))
    return (folder / "tokenizer.json").read_text()


@pytest.fixture(scope="module", params=list(TEMPLATES))
def hub(
    request: pytest.FixtureRequest, tokenizer: SentencePieceTokenizer, definition: str
) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(
        definition, TokenizerSettings(tokenizer.names, True, TEMPLATES[request.param])
    )


@given(conversation=conversations)
def test_example_starts_with_every_prompt(hub: HuggingFaceTokenizer, conversation: list[Message]) -> None:
    chat = ChatTemplate(hub)
    ids, learn = chat.example(conversation)
    assert len(ids) == len(learn)
    for index, message in enumerate(conversation):
        if message.role == "assistant":
            prompt = chat.prompt(conversation[:index])
            assert ids[: len(prompt)] == prompt
            assert learn[len(prompt)]
            assert not learn[len(prompt) - 1]


@given(conversation=conversations)
def test_loss_mask_covers_answers_and_end_of_turn_tokens(
    hub: HuggingFaceTokenizer, conversation: list[Message]
) -> None:
    ids, learn = ChatTemplate(hub).example(conversation)
    runs: list[list[int]] = []
    for index, number in enumerate(ids):
        if learn[index]:
            if not index or not learn[index - 1]:
                runs.append([])
            runs[-1].append(number)
    answers = [message.content for message in conversation if message.role == "assistant"]
    ends = ChatTemplate(hub).stop
    assert [run[-1] in ends for run in runs] == [True] * len(answers)
    for run, answer in zip(runs, answers, strict=True):
        assert hub.decode(run).strip() == answer.strip()
        assert not set(run[:-1]) & set(hub.special.values())


@given(conversation=conversations)
def test_message_contents_never_encode_to_special_tokens(
    hub: HuggingFaceTokenizer, conversation: list[Message]
) -> None:
    """The special tokens equal those of the same conversation with plain contents."""
    chat = ChatTemplate(hub)
    plain = [replace(message, content="x") for message in conversation]
    special = set(hub.special.values())

    def special_ids(messages: Sequence[Message]) -> list[int]:
        return [number for number in chat.example(messages).ids if number in special]

    assert special_ids(conversation) == special_ids(plain)


@given(conversation=conversations)
def test_sentencepiece_tokenizer_and_its_export_agree(
    tokenizer: SentencePieceTokenizer, definition: str, conversation: list[Message]
) -> None:
    hub = HuggingFaceTokenizer(definition, TokenizerSettings(tokenizer.names, True, CHAT_TEMPLATE))
    assert ChatTemplate(tokenizer).examples(conversation) == ChatTemplate(hub).examples(conversation)


@pytest.fixture(scope="module")
def peer(hub: HuggingFaceTokenizer, definition: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same tokenizer and template, loaded by transformers."""
    folder = str(tmp_path_factory.mktemp("peer"))
    settings = TokenizerSettings({"bos_token": "<s>", "eos_token": "</s>"}, True, hub.chat_template)
    HuggingFaceTokenizer(definition, settings).write(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


@given(pairs=st.lists(st.tuples(any_text, answers), min_size=1, max_size=3), system=st.booleans())
def test_ids_equal_those_of_transformers(
    hub: HuggingFaceTokenizer, peer: Any, pairs: list[tuple[str, str]], system: bool
) -> None:
    """Answers have no white space at their ends, where it could merge with the template's text."""
    conversation = turns(system, pairs)
    assume(not any(name in message.content for message in conversation for name in hub.special))
    messages = [{"role": message.role, "content": message.content} for message in conversation]
    prompt = peer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
    expected = peer.apply_chat_template(messages, return_dict=False)
    assert ChatTemplate(hub).prompt(conversation[:-1]) == prompt
    assert ChatTemplate(hub).example(conversation).ids == expected


def test_stop_is_end_of_turn_and_eos(tokenizer: SentencePieceTokenizer) -> None:
    assert ChatTemplate(tokenizer).stop == {2, 7}


def test_example_and_prompt_of_a_small_conversation(tokenizer: SentencePieceTokenizer) -> None:
    messages = [
        Message("system", "ka"),
        Message("user", "lo"),
        Message("assistant", "mi"),
        Message("user", "ka"),
    ]
    ka, lo, mi = (tokenizer.encode(text) for text in ("ka", "lo", "mi"))
    before = [1, 4, *ka, 7, 5, *lo, 7, 6]
    assert ChatTemplate(tokenizer).prompt(messages[:2]) == before
    ids, learn = ChatTemplate(tokenizer).example(messages)
    assert ids == [*before, *mi, 7, 5, *ka, 7]
    assert learn == [False] * len(before) + [True] * (len(mi) + 1) + [False] * (len(ka) + 2)


def test_conversation_may_start_with_an_answer(tokenizer: SentencePieceTokenizer) -> None:
    mi = tokenizer.encode("mi")
    ids, learn = ChatTemplate(tokenizer).example([Message("assistant", "mi")])
    assert ids == [1, 6, *mi, 7]
    assert learn == [False, False, *[True] * len(mi), True]


@given(conversation=conversations, spaces=st.tuples(*[st.sampled_from(["", " ", "\n"])] * 2))
def test_ends_of_prompts_are_those_of_the_rendered_prompts(
    hub: HuggingFaceTokenizer, conversation: list[Message], spaces: tuple[str, str]
) -> None:
    chat = ChatTemplate(hub)
    messages = [replace(message, content=spaces[0] + message.content + spaces[1]) for message in conversation]
    rendered = chat._render(messages, generation_prompt=False)
    prompts = [
        chat._render(messages[:index], generation_prompt=True)
        for index, message in enumerate(messages)
        if message.role == "assistant"
    ]
    expected = [len(prompt.text) for prompt in prompts if rendered.text.startswith(prompt.text)]
    assert chat._prompt_ends(messages, rendered) == expected


COUNTING = "{{ messages | length }}" + CHATML
"""Template that renders the beginning of a conversation differently once more messages follow."""


@pytest.mark.parametrize(("template", "most"), [*((each, 2) for each in TEMPLATES.values()), (COUNTING, 18)])
def test_long_conversations_are_rendered_a_bounded_number_of_times(
    tokenizer: SentencePieceTokenizer, definition: str, template: str, most: int
) -> None:
    chat = ChatTemplate(HuggingFaceTokenizer(definition, TokenizerSettings(tokenizer.names, True, template)))
    messages = turns(False, [("ka", "\n" + "mi " * 500)] * 100)
    rendered: list[int] = []
    render = chat._template.render
    chat._template.render = lambda *given, **options: rendered.append(1) or render(*given, **options)  # type: ignore[method-assign]
    prompt = chat.prompt([*messages, Message("user", "lo")])
    assert 0 < len(rendered) <= most
    rendered.clear()
    assert chat.continuation(messages)
    assert 0 < len(rendered) <= most + 2
    assert prompt[: len(chat.prompt(messages[:-1]))] == chat.prompt(messages[:-1]) or template == COUNTING


def test_template_that_drops_history_gives_prompts_but_no_examples(
    tokenizer: SentencePieceTokenizer, definition: str
) -> None:
    """Like templates of reasoning models, which drop earlier reasoning."""
    template = "{% for m in messages[-1:] %}{{ m.content }}<|end|>{% endfor %}"
    chat = ChatTemplate(HuggingFaceTokenizer(definition, TokenizerSettings(tokenizer.names, True, template)))
    messages = [Message("user", "ka"), Message("assistant", "mi"), Message("user", "lo")]
    assert chat.prompt(messages) == [*tokenizer.encode("lo"), 7]
    assert chat.stop == {2, 7}
    with pytest.raises(InputError, match="leaves out message 2, an answer"):
        chat.examples(messages)


def test_empty_conversation_is_rejected(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(InputError, match="give it at least one"):
        ChatTemplate(tokenizer).prompt([])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "has no chat template"),
        ("{% for %}", "is not Jinja"),
        (
            "{{ raise_exception('roles must alternate') }}",
            r"refuses this conversation \(roles must alternate\)",
        ),
        ("{{ messages[7].content }}", "refuses this conversation"),
        ("{{ 1 / 0 }}", r"refuses this conversation \(division by zero\)"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses this conversation"),
        ("{% for m in messages %}{{ m.content[:-1] }}{% endfor %}", "leaves out message 2, an answer"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "leaves out message 2, an answer"),
        (
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
            "differently once it is",
        ),
    ],
)
def test_invalid_templates_are_rejected(
    tokenizer: SentencePieceTokenizer, definition: str, template: str, message: str
) -> None:
    messages = [Message("user", "Hello"), Message("assistant", "Good day")]
    with pytest.raises(InputError, match=message) as caught:
        ChatTemplate(
            HuggingFaceTokenizer(definition, TokenizerSettings(tokenizer.names, True, template))
        ).examples(messages)
    assert "\n" not in str(caught.value)
