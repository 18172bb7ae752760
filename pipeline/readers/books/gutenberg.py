"""Project Gutenberg's boilerplate around a book: header, licence, small print and production credits."""

import re

_PROJECT_GUTENBERG = r"(?:THE|THIS)[ \t](?:COPYRIGHTED[ \t])?PROJECT GUTENBERG"
_START = re.compile(
    rf"^[ \t]*\*{{2,}}[ \t]*START[ \t]*(?:OF|FOR)[ \t]{_PROJECT_GUTENBERG}(?:[^*]|\*(?!\*))*\*\*\*?[^\n]*$"
    r"|^[ \t]*\*+[ \t]?END[ *]*THE SMALL PRINT[^\n]*$"
    r"|^[ \t]*Beginning of this Project Gutenberg[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    rf"^[ \t]*\*{{2,}}[ \t]*END[ \t]*(?:OF|FOR)[ \t]{_PROJECT_GUTENBERG}"
    r"|^[ \t]*\*{2,}[ \t]*START: FULL LICENSE"
    r"|^[ \t]*(?:This is the )?end of (?:the |this )?(?:copyrighted )?project gutenberg"
    r"|^[ \t]*(?:Ende|Einde) (?:dieses|des|von|van(?: het| dit)?) Proje[ck]t Gutenberg"
    r"|^[ \t]*Fin d[eu] (?:cet? )?(?:(?:e-?book|e-?texte?|livre) )?(?:d[eu] )?(?:Project|Projet) Gutenberg"
    r"|^[ \t]*Fine (?:di |del )?(?:questo )?(?:(?:e-?book|e-?text) )?(?:del )?(?:Progetto|Project) Gutenberg",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_CHARACTERS = 40_000
"""Length of the longest small print."""
_VERBS = "prepared|produced|transcribed|scanned|created|typed|made|edited|provided|digiti[sz]ed|proofread"
_CREDIT = re.compile(
    r"[\[(_*\s]*+(?:"
    r"(?:(?:this|the) )?(?:e-?text|e-?book|electronic (?:text|edition|version)|file|book|text)s? "
    rf"(?:(?:was|is|has been|were) )?(?:(?:first|originally) )?(?:{_VERBS}) "
    rf"|(?:{_VERBS}|html version|updated) (?:by|from|and)\b|updated editions|credits?:"
    r"|(?:the )?project gutenberg|this e-?(?:book|text) is for the use of|note: project gutenberg"
    r"|images? of the original pages|(?:the )?online distributed proofreading"
    r"|transcriber(?:'s|’s|s'|s’|s)? notes?\b|transcription note"
    r"|(?:title|author|editor|translator|illustrator|release date|posting date|language|character set[ \w]*):"
    r"|dieses? (?:e-?)?(?:buch|text|werk) wurde|anmerkung(?:en)? (?:des|der|zur) (?:bearbeiter|transkript)"
    r"|(?:erstellt|hergestellt) von|produit par|notes? (?:de|du|sur la) (?:la )?transcri"
    r"|ce (?:fichier|texte|livre électronique) (?:a été|est)"
    r")",
    re.IGNORECASE,
)
_ORNAMENT = re.compile(r"\s*+\[Illustration[^\]]*\]\s*+|[*\s_=-]*+", re.IGNORECASE)
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*|\Z")
_PARAGRAPH_START = re.compile(r"\n[ \t]*\n(?=[^\n]*\S)")


def bounds(text: str) -> tuple[int, int]:
    """Return start and end of the book in the text: all of it, unless it has Gutenberg boilerplate."""
    markers = list(_START.finditer(text, 0, _HEADER_CHARACTERS))
    if not markers and "project gutenberg" not in text[:2000].lower():
        return 0, len(text)
    start = markers[-1].end() if markers else 0
    end_marker = _END.search(text, start)
    end = end_marker.start() if end_marker else len(text)
    start = _skip_credits(text, start, end)
    return start, _strip_credits(text, start, end)


def _skip_credits(text: str, start: int, end: int) -> int:
    """Return the start of the book without the production credits, and ornaments, in its first paragraphs."""
    at = start
    while at < end:
        paragraph = _PARAGRAPH_END.search(text, at, end)
        stop = paragraph.end() if paragraph else end
        if _CREDIT.match(text, at, stop):
            start = stop
        elif not _ORNAMENT.fullmatch(text, at, stop):
            break
        at = stop
    return start


def _strip_credits(text: str, start: int, end: int) -> int:
    """Return the end of the book without the production credits in its last paragraphs."""
    while starts := [found.end() for found in _PARAGRAPH_START.finditer(text, max(start, end - 5_000), end)]:
        if not _CREDIT.match(text, starts[-1], end):
            break
        end = starts[-1]
    return end
