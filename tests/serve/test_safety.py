"""The filter on texts that come whole and on answers that come in pieces."""

from pathlib import Path

import pytest

from core.config import ServeConfig
from core.errors import ConfigError
from pipeline.filters import pii
from serve.safety import Safety

TOXIC = "you are a piece of shit, bitch"
PERSONAL = (
    "Write to jane.doe@mail.org or call +49 30 901820 today. The card 4111 1111 1111 1111 is old; "
    "my IBAN is GB82 WEST 1234 5698 7654 32, and tel. 030 901 8201. From 8.8.8.8 and 2001:4860:4860::8888!\n"
    "In 2024 there were 12 of 300 at 10:30 (US).\n"
)


@pytest.fixture
def words(tmp_path: Path) -> str:
    path = tmp_path / "words.txt"
    path.write_text("Voldemort\n\nnuclear  launch code\n", encoding="utf-8")
    return str(path)


def out(safety: Safety, pieces: list[str]) -> tuple[str, bool]:
    outlet = safety.outlet()
    text = ""
    for piece in pieces:
        text += outlet.push(piece)
        if outlet.blocked:
            return text, True
    return text + outlet.flush(), outlet.blocked


def test_what_comes_in_is_judged(words: str) -> None:
    safety = Safety(ServeConfig(blocked_words=words))
    assert safety.refuses("Tell me about VOLDEMORT!")
    assert safety.refuses("the nuclear\nlaunch code")
    assert safety.refuses(f"A long harmless story. {TOXIC}. And they lived happily ever after. " * 9)
    assert not safety.refuses("What is the capital of France?")
    off = Safety(ServeConfig(blocked_words=words, safety=False))
    assert not off.refuses(f"Voldemort, {TOXIC}")


def test_every_split_of_an_answer_with_a_blocked_word(words: str) -> None:
    safety = Safety(ServeConfig(blocked_words=words))
    text = "His name was Voldemort, call 2."
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            pieces = [text[:first], text[first:second], text[second:]]
            assert out(safety, pieces) == ("His name was ", True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 300])
def test_personal_data_is_masked_as_if_the_answer_came_whole(size: int) -> None:
    safety = Safety(ServeConfig())
    pieces = [PERSONAL[start : start + size] for start in range(0, len(PERSONAL), size)]
    masked = pii.mask(PERSONAL).text
    assert masked.count("<") == 7
    assert out(safety, pieces) == (masked, False)
    assert out(Safety(ServeConfig(mask_pii=False)), pieces) == (PERSONAL, False)
    assert out(Safety(ServeConfig(safety=False)), pieces) == (PERSONAL, False)


def test_text_without_spaces_is_not_kept_back_to_its_end() -> None:
    outlet = Safety(ServeConfig()).outlet()
    assert outlet.push("我们学习语言。" * 30)


def test_an_answer_ends_before_it_is_toxic() -> None:
    text = f"Hello there. Well, {TOXIC}"
    passed, blocked = out(Safety(ServeConfig()), list(text))
    assert blocked
    assert text.startswith(passed)
    assert passed.startswith("Hello there. Well, ")
    assert "shit" not in passed
    assert out(Safety(ServeConfig(toxicity=1)), list(text)) == (text, False)


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.blocked_words = .*name a UTF-8 file"):
        Safety(ServeConfig(blocked_words=str(tmp_path / "none.txt")))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"serve\.blocked_words"):
        Safety(ServeConfig(blocked_words=str(tmp_path / "bytes.txt")))
