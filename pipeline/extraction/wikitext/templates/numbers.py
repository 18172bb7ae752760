"""Numbers as the wiki's language writes them, values with units, and fractions."""

import re

from pipeline.extraction.wikitext.templates import locales
from pipeline.extraction.wikitext.templates.call import Call

_PLAIN = re.compile(r"([-−+±]?)\s?(\d{1,40})(\.\d+)?")
_ENGLISH = re.compile(r"[-−+±]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_TAIL = re.compile(r"(?<=\d)(\D.*)$", re.DOTALL)


def localize(text: str, language: str, min_digits: int = 4) -> str:
    """Return a number, as editors write it, with the separators of the language; other text unchanged.

    Thousands are separated from ``min_digits`` digits on.
    """
    found = _PLAIN.fullmatch(plain(text, language))
    if found is None:
        return text
    group, point = locales.separators(language)
    whole = f"{int(found[2]):,}".replace(",", group) if len(found[2]) >= min_digits else found[2]
    return found[1] + whole + (found[3] or "").replace(".", point)


def plain(text: str, language: str) -> str:
    """Return a number with a decimal point and without separators of thousands; other text unchanged.

    A single comma is the decimal separator where the language has one.
    """
    group, point = locales.separators(language)
    ungrouped = (
        text.replace(group, "").replace("\xa0", "").replace("\u202f", "") if group not in ",." else text
    )
    if point == ",":
        if text.count(".") > 1 or ("." in text and "," in text and text.index(".") < text.index(",")):
            ungrouped = ungrouped.replace(".", "")
        commas = ungrouped.count(",")
        if commas == 1 and "." not in ungrouped:
            ungrouped = ungrouped.replace(",", ".")
    if _ENGLISH.fullmatch(ungrouped):
        ungrouped = ungrouped.replace(",", "")
    return ungrouped if _PLAIN.fullmatch(ungrouped) else text


def number(call: Call) -> str:
    """Format ``{{nts|1234}}``. A text after the number stays: ``{{nombre|30000|exemplaires}}``."""
    text = call.get("1")
    tail = _TAIL.search(text) if " " in text else None
    if tail and not tail[1].strip(" .,").replace(" ", "").isdecimal():
        return localize(text[: tail.start()], call.language) + tail[1]
    return localize(text, call.language)


def value(call: Call) -> str:
    """Format ``{{val|1.2|0.1|e=3|u=km}}``: a number with its error, power of ten and unit."""
    first = call.get("1")
    error = f" ± {call.get('2')}" if call.get("2") else ""
    power = f" × 10^{call.get('e')}" if call.get("e") else ""
    unit, divisor = call.get("u", "ul"), call.get("up", "upl")
    unit += f"/{divisor}" if divisor else ""
    measure = (
        f"{first}{error}{power}{' ' * (unit[:1] not in '°%')}{unit}" if unit else f"{first}{error}{power}"
    )
    return f"{call.get('p')}{measure}{call.get('s')}"


def quantity(call: Call) -> str:
    """Format ``{{unité|9.8|m|s|-2}}``: a number and units, each of which may have an exponent after it."""
    parts = [call.get("1")]
    for unit in call.positional[1:]:
        if unit.lstrip("-−").isdecimal() and len(parts) > 1:
            parts[-1] += "" if unit == "1" else f"^{unit}"
        elif unit:
            parts.append(unit)
    power = f" × 10^{call.get('e')}" if call.get("e") else ""
    return parts[0] + power + "".join(f" {unit}" for unit in parts[1:])


def fraction(call: Call) -> str:
    """Format ``{{frac|3|1|2}}``."""
    parts = [part for part in call.positional if part]
    if len(parts) == 3:
        return f"{parts[0]} {parts[1]}⁄{parts[2]}"
    if not parts:
        return ""
    return "⁄".join(parts if len(parts) == 2 else ["1", *parts])


def elevation(call: Call) -> str:
    """Format ``{{Höhe|120|DE-NHN}}``: metres above the reference of a country."""
    reference: str = locales.data()["elevation"].get(call.get("2"), "")
    return f"{localize(call.get('1'), call.language)} m{' ' + reference if reference else ''}"
