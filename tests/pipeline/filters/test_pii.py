import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.document import METRICS
from pipeline.filters import pii

CASES = [
    # E-mail addresses
    ("Write to joe.doe+news@mail.gmail.com.", "Write to <email>."),
    ("(josé@correo.es)", "(<email>)"),
    ("x@y.org,z@y.org", "<email>,<email>"),
    ("a@example.com, b@sub.example, c@localhost, @handle, a @ b.de", None),
    # IP addresses
    ("from 8.8.8.8 and 2a00:1450:4001:830::200e.", "from <ip> and <ip>."),
    ("10.0.0.1 192.168.1.1 127.0.0.1 192.0.2.7 169.254.0.1 fe80::1 ::1 2001:db8::1", None),
    ("Version 4.3.0.1, v. 4.3.0.1, release 1.2.3.4, 1.2.3.4.5, 999.1.1.1, 08.8.8.8", None),
    ("at 12:30:45 call std::vector or a::b", None),
    # Payment cards
    ("4111 1111 1111 1111, 5500-0000-0000-0004 or 378282246310005", "<card>, <card> or <card>"),
    ("4111 1111 1111 1112 and ISBN 978-3-16-148410-0", None),
    ("0.4111111111111111", None),
    # IBANs
    ("DE89 3704 0044 0532 0130 00 IS MINE", "<iban> IS MINE"),
    ("GB82WEST12345698765432, thanks", "<iban>, thanks"),
    ("AB12 ABCD EFGH DE89370400440532013000", "AB12 ABCD EFGH <iban>"),
    ("DE88 3704 0044 0532 0130 00 and GB82WEST12345698765432x", None),
    # Telephone numbers
    ("+49 30 901820-11 or +1 (212) 555-1234", "<phone> or <phone>"),
    ("(212) 555-1234, 212-555-1234, 1-877-550-2678", "<phone>, <phone>, <phone>"),
    ("Tel.: 030 9018-2011 Fax 0 30/901 82 012", "Tel.: <phone> Fax <phone>"),
    ("in 1990-2000 12 345 678 copies, hotel 030 901 820, +1 for 2024-11-02", None),
]


@pytest.mark.parametrize(("text", "masked"), CASES)
def test_cases(text: str, masked: str | None) -> None:
    result = pii.mask(text)
    assert result.text == (text if masked is None else masked)
    assert sum(result.metrics.values()) == sum(result.text.count(f"<{tag}>") for tag in TAGS)


TAGS = ("email", "ip", "card", "iban", "phone")


def test_counts_by_kind() -> None:
    metrics = pii.mask("a@b.org c@b.org 8.8.8.8 +49 30 90182011").metrics
    assert metrics == {
        "pii_emails": 2,
        "pii_ip_addresses": 1,
        "pii_cards": 0,
        "pii_ibans": 0,
        "pii_phones": 1,
    }
    assert set(metrics) <= set(METRICS)


@given(
    st.lists(
        st.sampled_from([part for case, _ in CASES for part in case.split()] + list(TAGS))
        | st.text("0123456789+-.:@() aDE<>", max_size=12),
        max_size=8,
    ),
    st.sampled_from(["", " ", ","]),
)
def test_masking_is_idempotent(parts: list[str], between: str) -> None:
    once = pii.mask(between.join(parts)).text
    again = pii.mask(once)
    assert again.text == once and not any(again.metrics.values())


@given(
    st.permutations(["a@b.org", "8.8.8.8", "4111111111111111", "DE89370400440532013000", "+49 30 90182011"])
)
def test_order_does_not_matter(parts: list[str]) -> None:
    assert set(pii.mask("; ".join(parts)).text.split("; ")) == {f"<{tag}>" for tag in TAGS}


def test_long_hostile_text_is_fast() -> None:
    for hostile in ("a" * 100_000 + "@", "1 " * 50_000, "1.1.1." * 20_000, "A1" * 50_000, ":" * 50_000):
        assert pii.mask(hostile).text == hostile
