"""Project Gutenberg's own words around a book: header, licence, small print, and who made the file."""

import re

_WHOSE = r"(?:THE|THIS)[ \t](?:COPYRIGHTED[ \t])?PROJECT GUTENBERG"
_START = re.compile(
    rf"^[ \t]*\*{{2,}}[ \t]*START[ \t]*(?:OF|FOR)[ \t]{_WHOSE}(?:[^*]|\*(?!\*))*\*\*\*?[^\n]*$"
    r"|^[ \t]*\*+[ \t]?END[ *]*THE SMALL PRINT[^\n]*$"
    r"|^[ \t]*Beginning of this Project Gutenberg[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    rf"^[ \t]*\*{{2,}}[ \t]*END[ \t]*(?:OF|FOR)[ \t]{_WHOSE}"
    r"|^[ \t]*\*{2,}[ \t]*START: FULL LICENSE"
    r"|^[ \t]*(?:This is the )?end of (?:the |this )?(?:copyrighted )?project gutenberg"
    r"|^[ \t]*(?:Ende|Einde) (?:dieses|des|von|van(?: het| dit)?) Proje[ck]t Gutenberg"
    r"|^[ \t]*Fin d[eu] (?:cet? )?(?:(?:e-?book|e-?texte?|livre) )?(?:d[eu] )?(?:Project|Projet) Gutenberg"
    r"|^[ \t]*Fine (?:di |del )?(?:questo )?(?:(?:e-?book|e-?text) )?(?:del )?(?:Progetto|Project) Gutenberg",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_CHARACTERS = 40_000
"""How far the longest small print reaches."""
_MADE = "prepared|produced|transcribed|scanned|created|typed|made|edited|provided|digiti[sz]ed|proofread"
_CREDIT = re.compile(
    r"[\[(_*\s]*+(?:"
    r"(?:(?:this|the) )?(?:e-?text|e-?book|electronic (?:text|edition|version)|file|book|text)s? "
    rf"(?:(?:was|is|has been|were) )?(?:(?:first|originally) )?(?:{_MADE}) "
    rf"|(?:{_MADE}|html version|updated) (?:by|from|and)\b|updated editions|credits?:"
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
_PARAGRAPH_BEGIN = re.compile(r"\n[ \t]*\n(?=[^\n]*\S)")


def bounds(text: str) -> tuple[int, int]:
    """Where the book begins and ends in the text: all of it, unless Project Gutenberg wrote around it."""
    starts = list(_START.finditer(text, 0, _HEADER_CHARACTERS))
    if not starts and "project gutenberg" not in text[:2000].lower():
        return 0, len(text)
    begin = starts[-1].end() if starts else 0
    found = _END.search(text, begin)
    end = found.start() if found else len(text)
    begin = _after_credits(text, begin, end)
    return begin, _before_credits(text, begin, end)


def _after_credits(text: str, begin: int, end: int) -> int:
    """The first paragraph that does not speak of how the file was made; ornaments before it go too."""
    at = begin
    while at < end:
        found = _PARAGRAPH_END.search(text, at, end)
        stop = found.end() if found else end
        if _CREDIT.match(text, at, stop):
            begin = stop
        elif not _ORNAMENT.fullmatch(text, at, stop):
            break
        at = stop
    return begin


def _before_credits(text: str, begin: int, end: int) -> int:
    """Where such paragraphs begin at the end of the book."""
    while begins := [found.end() for found in _PARAGRAPH_BEGIN.finditer(text, max(begin, end - 5_000), end)]:
        if not _CREDIT.match(text, begins[-1], end):
            break
        end = begins[-1]
    return end
