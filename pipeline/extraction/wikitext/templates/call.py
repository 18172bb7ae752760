"""A use of a template on a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.extraction.wikitext.gaps import GAP
from pipeline.extraction.wikitext.options import DEFAULT, Options

_MARKS = f" \t*#:;'\"{GAP}"
"""Characters that may precede a template that stands alone on its line."""


class Place(NamedTuple):
    """The surroundings of a template on its line."""

    before: str
    """Text before it, with inner templates expanded, up to a limit."""
    after: str
    """Wikitext after it, up to a limit."""
    is_nested: bool = False
    """True in an argument of another template, or in a link."""

    @property
    def is_in_sentence(self) -> bool:
        """True if there is text beside the template, so that its removal would leave a hole."""
        after = self.after.lstrip(_MARKS)
        return self.is_nested or self.starts_inside or (bool(after) and after[0] not in "{|}<[")

    @property
    def starts_inside(self) -> bool:
        """True if there is text before the template."""
        return bool(self.before.strip(_MARKS))

    @property
    def is_before_name(self) -> bool:
        """True if a link, another template, a capitalized word or a number follows."""
        after = self.after.replace("&nbsp;", " ").lstrip(" '\xa0")
        return after.startswith(("[[", "{{")) or after[:1].isupper() or after[:1].isdigit()

    @property
    def is_pronunciation(self) -> bool:
        """True in parentheses or between semicolons in them, without a word that leads to the template."""
        start = max(self.before.rfind(opening) for opening in "(（")
        if start < 0 or max(self.before.rfind(closing) for closing in ")）") > start:
            return False
        start = max(start, *(self.before.rfind(separator) for separator in ",;，；、"))
        return not any(character.isalpha() for character in self.before[start + 1 :])


NOWHERE = Place("", "")


@dataclass(frozen=True, slots=True)
class Call:
    """A use of a template: its name and its arguments, stripped of white space."""

    name: str
    positional: Sequence[str] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    options: Options = DEFAULT
    place: Callable[[], Place] = lambda: NOWHERE

    @property
    def language(self) -> str:
        """The language of the wiki."""
        return self.options.language

    def get(self, *keys: str) -> str:
        """Return the first non-empty argument of these; positional ones are counted from 1."""
        for key in keys:
            found = self.named.get(key, "")
            if not found and key.isdecimal() and 0 < int(key) <= len(self.positional):
                found = self.positional[int(key) - 1]
            if found:
                return found
        return ""
