import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.exact import canonical_url, exact_key, normalized_hash, url_hash


def test_key_is_the_first_64_bits_as_a_signed_integer():
    assert exact_key("0" * 15 + "1" + "f" * 16) == 1
    assert exact_key("f" * 32) == -1


@pytest.mark.parametrize("variant", ["one  two\n\nthree", " one two three\t", "one\u00a0two\u2003three"])
def test_white_space_does_not_make_another_text(variant):
    assert normalized_hash(variant) == normalized_hash("one two three")


def test_composed_and_decomposed_letters_are_the_same_text():
    assert normalized_hash("caf\u00e9") == normalized_hash("cafe\u0301")


@pytest.mark.parametrize("other", ["One two", "one two.", "one 2", "onetwo", ""])
def test_case_punctuation_and_numbers_make_another_text(other):
    assert normalized_hash(other) != normalized_hash("one two")


@pytest.mark.parametrize(
    "variant",
    [
        "http://example.org/a?x=1&y=2",
        "https://www.example.org:443/a/?y=2&x=1#top",
        "HTTPS://Example.ORG./a?utm_source=news&x=1&y=2&fbclid=z",
    ],
)
def test_variants_of_an_address_are_one_page(variant):
    assert canonical_url(variant) == "example.org/a?x=1&y=2"


@pytest.mark.parametrize(
    "other", ["http://example.org/A", "http://example.org/a?x=2", "http://example.org:81/a"]
)
def test_other_paths_parameters_and_ports_are_other_pages(other):
    assert url_hash(other) != url_hash("http://example.org/a")


SESSION_IDS = [
    "0123456789abcdef",
    "5A1F09C3D27B4E6890ABCDEF01234567.node-1",
    "dGhpcyBpcyBhIHNlc3Npb24gMQ==",
    "3f2b8c1e-9d47-4a56-8b0c-1e2d3f4a5b6c",
    "Gk2LQvYh8p1TzX7r!-1234!NONE",
]


@pytest.mark.parametrize("value", SESSION_IDS)
@pytest.mark.parametrize("name", ["sid", "sessionid", "PHPSESSID", "JSESSIONID"])
def test_session_ids_do_not_count(name, value):
    assert canonical_url(f"http://example.org/a?{name}={value}&x=1") == "example.org/a?x=1"
    assert canonical_url(f"http://example.org/a;jsessionid={value}?x=1") == "example.org/a?x=1"
    assert canonical_url(f"http://example.org/a;JSESSIONID={value}/b;v=1") == "example.org/a/b;v=1"


@pytest.mark.parametrize(
    "value",
    ["", "42", "ab12", "politics-in-the-city-2024", "123456789012345678", "abcdefghijklmnopqrst", "a/b2" * 9],
)
def test_other_values_of_session_parameters_are_other_pages(value):
    page = "http://example.org/modules.php?name=News&file=article&sid="
    assert url_hash(page + value) != url_hash(f"{page}43")
    assert url_hash(f"http://example.org/a;jsessionid={value}") != url_hash("http://example.org/a")


@pytest.mark.parametrize("text", ["", "no address", "mailto:a@b", "http://[", "http://h:99999/"])
def test_texts_without_a_host_are_no_page(text):
    assert url_hash(text) is None


@given(st.text())
def test_any_text_may_be_given_as_an_address(text):
    assert canonical_url(text) == canonical_url(f" {text} ")
