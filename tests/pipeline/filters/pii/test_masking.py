"""Masking: a table of cases, invariants, comparison with phonenumbers, and adversarial texts."""

import re
import time
from pathlib import Path
from random import Random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.document import METRICS
from pipeline.filters import pii
from pipeline.filters.pii import phones


def cases() -> list[tuple[str, str, str]]:
    """Return language, text and masked text of each case."""
    lines = Path(__file__).with_name("pii_cases.tsv").read_text("utf-8").split("\n")
    rows = [line.replace("\\n", "\n").split("\t") for line in lines if line and not line.startswith("#")]
    return [(language, text, text if masked == "=" else masked) for language, text, masked in rows]


CASES = cases()
TAG = re.compile("|".join(pii.TAGS.values()))
LANGUAGES = st.sampled_from(["", "en", "de", "fr", "zh", "xx"])
PARTS = st.sampled_from(sorted({part for _, text, _ in CASES for part in (text, *text.split(" "))}))
NOISE = st.text("0123456789+-–.:@() /aDEé中<>[]\n٣", max_size=12)
TEXTS = st.builds(
    lambda parts, separator: separator.join(parts),
    st.lists(PARTS | NOISE | st.sampled_from(list(pii.TAGS.values())), max_size=8),
    st.sampled_from(["", " ", ",", "\n", " - "]),
)


@pytest.mark.parametrize(("language", "text", "masked"), CASES)
def test_cases(language: str, text: str, masked: str) -> None:
    assert pii.mask(text, language).text == masked


def test_counts_by_type() -> None:
    metrics = pii.mask("a@b.org c@b.org 81.2.69.142 +49 30 90182011").metrics
    assert metrics == {
        "pii_emails": 2,
        "pii_ip_addresses": 1,
        "pii_cards": 0,
        "pii_ibans": 0,
        "pii_phones": 1,
    }
    assert set(metrics) <= set(METRICS)


@given(TEXTS, LANGUAGES)
def test_masking_is_idempotent(text: str, language: str) -> None:
    once = pii.mask(text, language).text
    again = pii.mask(once, language)
    assert again.text == once and not any(again.metrics.values())


@given(TEXTS | st.text(max_size=40), LANGUAGES)
def test_only_items_change_and_each_is_counted(text: str, language: str) -> None:
    masked = pii.mask(text, language)
    for metric, tag in pii.TAGS.items():
        assert masked.text.count(tag) == text.count(tag) + masked.metrics[metric]
    position = 0
    for kept in TAG.split(masked.text):
        position = text.index(kept, position) + len(kept)


@given(st.lists(TEXTS, max_size=4), LANGUAGES)
def test_paragraphs_are_masked_independently(texts: list[str], language: str) -> None:
    paragraphs = [text.strip("\n").replace("\n\n", "\n") for text in texts]
    together = pii.mask("\n\n".join(paragraphs), language)
    alone = [pii.mask(paragraph, language) for paragraph in paragraphs]
    assert together.text == "\n\n".join(masked.text for masked in alone)
    assert sum(together.metrics.values()) == sum(sum(masked.metrics.values()) for masked in alone)


@given(
    st.permutations(
        ["a@b.org", "81.2.69.142", "4111111111111111", "DE89370400440532013000", "+49 30 90182011"]
    )
)
def test_order_does_not_matter(parts: list[str]) -> None:
    assert set(pii.mask("; ".join(parts)).text.split("; ")) == set(pii.TAGS.values())


COUNTRY_CODES = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@given(COUNTRY_CODES, st.randoms(use_true_random=False))
def test_plans_agree_with_phonenumbers(country_code: int, random: Random) -> None:
    region = random.choice(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country_code])
    example = (
        phonenumbers.example_number_for_non_geo_entity(country_code)
        if region == "001"
        else phonenumbers.example_number_for_type(region, random.choice((0, 1, 3, 4)))
    )
    digits = phonenumbers.national_significant_number(example) if example else "212555"
    for _ in range(random.randrange(4)):
        index = random.randrange(len(digits))
        digits = digits[:index] + random.choice("0123456789") + digits[index + random.randrange(2) :]
    digits = random.choice(["", "0", "1", "8"]) + digits
    try:
        valid = phonenumbers.is_valid_number(phonenumbers.parse(f"+{country_code}{digits}"))
    except phonenumbers.NumberParseException:
        valid = False
    assert phones.plan(country_code).is_valid(digits) == valid


ADVERSARIAL = [
    "1",
    "@",
    "a@",
    "a@b.",
    "+1 ",
    "+49 30 90182011",
    "020 7946 0958 ",
    "(02) ",
    "((0",
    "1.1.1.",
    "A1",
    "DE89 3704 ",
    ":",
    "2001:",
    "a (at) ",
    "a[dot]",
    "4111 ",
    "<phone>",
    "tel 1234567 ",
    "1    ",
    '"a',
]


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_time_is_linear_in_the_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        start = time.process_time()
        masked = pii.mask(text, "en")
        spent = time.process_time() - start
        assert not any(pii.mask(masked.text, "en").metrics.values())
        return spent

    seconds(1000)
    assert seconds(40_000) < 10 * seconds(10_000) + 0.1
