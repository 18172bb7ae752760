"""The safety filter on complete texts and on answers in chunks."""

from pathlib import Path

import pytest

from core.config import ServeConfig
from core.errors import ConfigError
from pipeline.filters import pii
from serve.safety.filter import SafetyFilter
from serve.safety.refusal import Refusal

TOXIC = "you are a piece of shit, bitch"
PERSONAL = (
    "Write to jane.doe@mail.org or call +49 30 901820 today. The card 4111 1111 1111 1111 is old; "
    "my IBAN is GB82 WEST 1234 5698 7654 32, and tel. 030 901 8201. From 81.2.69.142 and 2a02:2e0:3fe::1!\n"
    "In 2024 there were 12 of 300 at 10:30 (US).\n"
)


@pytest.fixture
def words(tmp_path: Path) -> str:
    path = tmp_path / "words.txt"
    path.write_text("Voldemort\n\nnuclear  launch code\n", encoding="utf-8")
    return str(path)


def filtered(safety: SafetyFilter, chunks: list[str]) -> tuple[str, bool]:
    """Return the released text, and True if the answer was blocked."""
    stream_filter = safety.stream_filter()
    text = ""
    for chunk in chunks:
        text += stream_filter.push(chunk)
        if stream_filter.refusal:
            return text, True
    return text + stream_filter.flush(), stream_filter.refusal is not None


def test_prompts_are_rejected_for_blocked_words_and_toxicity(words: str) -> None:
    safety = SafetyFilter(ServeConfig(blocked_words=words))
    assert safety.refusal("Tell me about VOLDEMORT!")
    assert safety.refusal("the nuclear\nlaunch code")
    assert safety.refusal(f"A long harmless story. {TOXIC}. And they lived happily ever after. " * 9)
    assert not safety.refusal("What is the capital of France?")
    off = SafetyFilter(ServeConfig(blocked_words=words, safety=False))
    assert not off.refusal(f"Voldemort, {TOXIC}")


def test_refusals_name_rule_and_category(words: str) -> None:
    safety = SafetyFilter(ServeConfig(blocked_words=words))
    assert safety.refusal("Tell me about VOLDEMORT!") == Refusal("blocked_words", "listed word")
    assert safety.refusal(f"A story. {TOXIC}") == Refusal("toxicity", "insult")
    stream_filter = safety.stream_filter()
    stream_filter.push(f"Well, {TOXIC}, ")
    assert str(stream_filter.refusal) == "rule toxicity, category insult"


def test_blocked_word_is_found_in_every_split_of_an_answer(words: str) -> None:
    safety = SafetyFilter(ServeConfig(blocked_words=words))
    text = "His name was Voldemort, call 2."
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            chunks = [text[:first], text[first:second], text[second:]]
            assert filtered(safety, chunks) == ("His name was ", True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 300])
def test_masking_is_independent_of_the_chunk_size(size: int) -> None:
    chunks = [PERSONAL[start : start + size] for start in range(0, len(PERSONAL), size)]
    masked = pii.mask(PERSONAL).text
    assert masked.count("<") == 7
    assert filtered(SafetyFilter(ServeConfig()), chunks) == (masked, False)
    assert filtered(SafetyFilter(ServeConfig(mask_pii=False)), chunks) == (PERSONAL, False)
    assert filtered(SafetyFilter(ServeConfig(safety=False)), chunks) == (PERSONAL, False)


TECHNICAL = (
    "Run git clone git@github.com:owner/tool.git, then ssh -p 2222 jane@build.site.org.\n"
    "Use pip install x==1.26.4.1 with nameserver 8.8.8.8 or 1.1.1.1, and bind 0.0.0.0.\n"
    "Enter the test card 4242 4242 4242 4242 of section 4.2.1.3.\n"
    "jane@web.site.org$ scp notes.txt jane@host.site.org:/tmp\n"
)
SPELLED = (
    "Write to jane [at] site [dot] org or ann AT site DOT org, "
    "or call 030 – 901 820, (212) 555 – 1234, + 351 21 793 1234"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 300])
def test_technical_addresses_stay_and_spelled_addresses_are_masked_in_every_chunk_size(size: int) -> None:
    for text, masked in ((TECHNICAL, TECHNICAL), (SPELLED, pii.mask(SPELLED).text)):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        assert filtered(SafetyFilter(ServeConfig()), chunks) == (masked, False)
    assert pii.mask(SPELLED).text.count("<") == 5


def test_text_without_spaces_is_released_before_its_end() -> None:
    stream_filter = SafetyFilter(ServeConfig()).stream_filter()
    assert stream_filter.push("我们学习语言。" * 30)


def test_answer_is_blocked_before_toxic_text_is_sent() -> None:
    text = f"Hello there. Well, {TOXIC}"
    released, blocked = filtered(SafetyFilter(ServeConfig()), list(text))
    assert blocked
    assert text.startswith(released)
    assert released.startswith("Hello there. Well, ")
    assert "shit" not in released
    assert filtered(SafetyFilter(ServeConfig(toxicity=1)), list(text)) == (text, False)


def test_unreadable_word_lists_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.blocked_words = .*name a UTF-8 file"):
        SafetyFilter(ServeConfig(blocked_words=str(tmp_path / "none.txt")))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"serve\.blocked_words"):
        SafetyFilter(ServeConfig(blocked_words=str(tmp_path / "bytes.txt")))
