"""Colours of curves in both colour schemes: WCAG asks for 3 to 1 for graphics."""

import re
from pathlib import Path

import core.html
from core.html.curves import COLOURS

FOLDER = Path(core.html.__file__).parent


def colours(scheme: int) -> dict[str, str]:
    """Return the colours by variable; 0: of the light scheme, 1: of the dark one."""
    found = {}
    for name in ("style.css", "curves.css"):
        blocks = re.findall(r":root \{(.*?)\}", (FOLDER / name).read_text(), re.S)
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_curves_have_sufficient_contrast():
    for scheme in (0, 1):
        found = colours(scheme)
        background = luminance(found["card"])
        for number in range(COLOURS):
            darker, lighter = sorted((background, luminance(found[f"series-{number}"])))
            assert (lighter + 0.05) / (darker + 0.05) >= 3, (scheme, number)
