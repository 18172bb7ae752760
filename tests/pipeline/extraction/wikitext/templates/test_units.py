import pytest

from pipeline.extraction.wikitext import to_prose
from pipeline.extraction.wikitext.templates.units import units


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("{{cvt|25|km}}", "25 km (16 mi)"),
        ("{{convert|5|ft|10|in|m}}", "5 feet 10 inches (1.78 m)"),
        ("{{convert|1.8|m|ftin}}", "1.8 metres (5 ft 11 in)"),
        ("{{convert|12|nmi|km mi}}", "12 nautical miles (22 km; 14 mi)"),
        ("{{convert|100|km|mi|order=flip}}", "62 miles (100 km)"),
        ("{{convert|60|mph|km/h|disp=or}}", "60 miles per hour or 97 km/h"),
        ("{{convert|30|m|ft|disp=out}}", "98 ft"),
        ("{{convert|3|x|4|m|ft}}", "3 × 4 metres (9.8 × 13 ft)"),
        ("{{convert|25|km|mi|1}}", "25 kilometres (15.5 mi)"),
        ("{{convert|2|km|mi|sp=us}}", "2 kilometers (1.2 mi)"),
        ("{{convert|5|L|USgal|abbr=off}}", "5 litres (1.3 US gallons)"),
        ("{{convert|7|furlong parsecs}}", "7 furlong parsecs"),
    ],
)
def test_convert(call: str, expected: str) -> None:
    assert to_prose(call).strip() == expected


def test_default_targets_are_units() -> None:
    names = units()
    assert all(unit.target.removeprefix("e6") in names for unit in names.values())
