"""Our filters beside datatrove's, decision by decision, on the same texts.

``python benchmarks/parity.py PATH…`` for raw pages (files, folders or globs), extracted as a job does. To
those come hostile texts made by hypothesis: words, signs, bullets, ellipses, emoticons, exotic line breaks,
phrases that C4 looks for, anything at all. Every text goes, alone, through datatrove's filters with
their defaults, C4's also as FineWeb sets it, and through the conditions of our presets. Where one keeps and
the other drops, the text is listed with the cause. Needs ``spacy``, by which datatrove finds words.
Writes ``benchmarks/results/parity.md``.
"""

import argparse
import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_words
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.config import ExtractionConfig, FiltersConfig, InputConfig
from core.errors import run
from pipeline.analysis import Analysis, analyse
from pipeline.extraction import extract
from pipeline.filters.heuristics import c4, fineweb, gopher
from pipeline.filters.recipe import Condition, build_recipe
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Record

RESULTS = Path(__file__).parent / "results" / "parity.md"
REASONS = {
    "dup_para_frac": "gopher.duplicate_paragraphs",
    "dup_para_char_frac": "gopher.duplicate_paragraph_characters",
    "dup_line_frac": "gopher.duplicate_lines",
    "dup_line_char_frac": "gopher.duplicate_line_characters",
    **{f"top_{n}_gram": f"gopher.top_{n}_gram" for n in range(2, 5)},
    **{f"duplicated_{n}_n_grams": f"gopher.duplicate_{n}_grams" for n in range(5, 11)},
    "gopher_short_doc": "gopher.few_words",
    "gopher_long_doc": "gopher.many_words",
    "gopher_below_avg_threshold": "gopher.short_words",
    "gopher_above_avg_threshold": "gopher.long_words",
    "gopher_too_many_hashes": "gopher.hashes",
    "gopher_too_many_ellipsis": "gopher.ellipses",
    "gopher_too_many_bullets": "gopher.bullet_lines",
    "gopher_too_many_end_ellipsis": "gopher.ellipsis_lines",
    "gopher_below_alpha_threshold": "gopher.unalphabetic",
    "gopher_enough_stop_words": "gopher.few_stop_words",
    "lorem_ipsum": "c4.lorem_ipsum",
    "curly_bracket": "c4.curly_bracket",
    "too_few_sentences": "c4.few_sentences",
    "line_punct_ratio": "fineweb.unfinished_lines",
    "short_line_ratio": "fineweb.short_lines",
    "char_dup_ratio": "fineweb.duplicate_line_characters",
    "list_ratio": "fineweb.newlines",
}
"""datatrove's names and ours."""
LISTED = 20
"""Disagreements shown of each kind, at most."""

PROSE = "The people of the town have walked to the river, and that would be with their children too. "
PARTS = [
    *(
        "the ",
        "be ",
        "to ",
        "of ",
        "and ",
        "word ",
        "Words, ",
        "don't ",
        "U.S. ",
        "e.g. ",
        "a",
        "é",
        "漢字。",
        "ไทย ",
    ),
    *(
        "# ",
        "... ",
        "… ",
        "•",
        "- ",
        "\n",
        "\n\n",
        "\r\n",
        "\x0b",
        "\x1c",
        "\x85",
        "\u2028",
        "\u00a0",
        "\u3000",
        " ",
    ),
    *(
        ". ",
        "! ",
        "? ",
        '"',
        "'",
        "’",
        ",",
        ";",
        ":",
        ":-)",
        "8)",
        "(",
        ")",
        "{",
        "}",
        "[12]",
        "[edit]",
        "😀",
        "🏳️‍🌈",
    ),
    *(
        "lorem ipsum ",
        "JavaScript ",
        "terms of use ",
        "Privacy Policy ",
        "uses cookies ",
        "x" * 1001,
        "12 ",
        "3.14 ",
    ),
    *(
        "\u0301",
        "\u200d",
        "\u200b",
        "\x00",
        "\u00ad",
        "İ",
        "ß",
        "ſ",
        PROSE,
        PROSE.replace(". ", ".\n"),
        PROSE * 5,
    ),
]
HOSTILE = st.lists(st.sampled_from(PARTS), max_size=80).map("".join) | st.text(max_size=400)


@dataclass(frozen=True, slots=True)
class Contest:
    """One of datatrove's filters, and what we measure and demand in its stead."""

    name: str
    filter: Callable[[Document], bool | tuple[bool, str]]
    measure: Callable[[Analysis], dict[str, float]]
    conditions: tuple[Condition, ...]

    def theirs(self, text: str) -> str:
        """The reason of datatrove's filter; empty: kept. Where it fails, the failure."""
        try:
            decision = self.filter(Document(text=text, id=""))
        except (ValueError, ZeroDivisionError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
        return "" if decision is True else REASONS.get(decision[1], decision[1])  # type: ignore[index]

    def ours(self, analysis: Analysis) -> str:
        """The reason of the first of our conditions that fails; empty: kept."""
        metrics = self.measure(analysis)
        failed = (each.reason.value for each in self.conditions if not each.holds(metrics[each.metric]))
        return next(failed, "")


def contests() -> list[Contest]:
    """Gopher's two filters, C4's in both settings and FineWeb's."""
    conditions = build_recipe(FiltersConfig(preset="fineweb")).conditions

    def of(*prefixes: str) -> tuple[Condition, ...]:
        return tuple(each for each in conditions if each.reason.value.startswith(prefixes))

    repeated = of("gopher.duplicate", "gopher.top")
    quality = tuple(each for each in of("gopher.") if each not in repeated)

    def strict(analysis: Analysis) -> dict[str, float]:
        return c4.clean(analysis, terminal_punctuation=True).metrics

    def lax(analysis: Analysis) -> dict[str, float]:
        return c4.clean(analysis, terminal_punctuation=False).metrics

    lax_filter = C4QualityFilter(filter_no_terminal_punct=False)
    return [
        Contest("GopherQualityFilter", GopherQualityFilter().filter, gopher.quality, quality),
        Contest("GopherRepetitionFilter", GopherRepetitionFilter().filter, gopher.repetition, repeated),
        Contest("C4QualityFilter", C4QualityFilter().filter, strict, of("c4.")),
        Contest("C4QualityFilter, as FineWeb sets it", lax_filter.filter, lax, of("c4.")),
        Contest("FineWebQualityFilter", FineWebQualityFilter().filter, fineweb.measure, of("fineweb.")),
    ]


def pages(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Address and text of each page."""
    for split in plan_splits(InputConfig(paths=tuple(paths))):
        for item in read(split):
            extracted = extract(item, ExtractionConfig()) if isinstance(item, Record) else None
            if isinstance(item, Record) and extracted is not None and not isinstance(extracted, Drop):
                yield item.url, extracted.text


def hostile(count: int) -> list[tuple[str, str]]:
    """Texts made by hypothesis, the same in every run. Those without words never reach filters."""
    made: dict[str, None] = {}

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(HOSTILE.filter(str.strip))
    def collect(text: str) -> None:
        made[text] = None

    collect()
    return [("hostile", text) for text in made]


def cause(theirs: str, ours: str, analysis: Analysis) -> str:
    """Why the two disagree about a text."""
    if "Error" in theirs:
        return f"datatrove fails: {theirs}"
    words = split_into_words(analysis.text, "en")
    spans = zip(analysis.tokens.starts, analysis.tokens.ends, strict=True)
    tokens = [analysis.text[start:end] for start, end in spans]
    if words != tokens:
        pairs = zip([*words, ""], [*tokens, ""], strict=False)
        word, token = next(pair for pair in pairs if pair[0] != pair[1])
        return f"words are cut otherwise: {word!r}, ours {token!r}"
    if "duplicate" in theirs + ours:
        return "datatrove joins an n-gram's words without spaces: the same letters, in other words, repeat"
    return f"unexplained: {theirs or 'kept'}, ours {ours or 'kept'}"


def compare(texts: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Rows of the table, and the list of disagreements."""
    rows, disagreements = [], []
    analyses = [(address, analyse(text, split_unspaced=False)) for address, text in texts]
    for contest in contests():
        agreed, reasons, causes = 0, 0, Counter[str]()
        for address, analysis in analyses:
            theirs, ours = contest.theirs(analysis.text), contest.ours(analysis)
            reasons += theirs == ours
            if bool(theirs) == bool(ours) and "Error" not in theirs:
                agreed += 1
                continue
            why = cause(theirs, ours, analysis)
            causes[why] += 1
            if causes[why] <= LISTED:
                fates = f"{theirs or 'kept'}, ours {ours or 'kept'}"
                disagreements.append(f"- {contest.name}, {address}: {fates}: {why}")
        share = agreed / max(len(texts), 1)
        rows.append(f"| {contest.name} | {len(texts):,} | {agreed:,} | {share:.4%} | {reasons:,} |")
    return rows, disagreements


def main(arguments: Sequence[str]) -> None:
    """Compare and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--hostile", type=int, default=3000, help="texts made by hypothesis")
    options = parser.parse_args(arguments)
    version = importlib.metadata.version
    names = " ".join(Path(path).name for path in options.paths)
    page = [
        "# Decisions beside datatrove's",
        "",
        f"`python benchmarks/parity.py {names}` on {date.today()}, "
        f"datatrove {version('datatrove')}, spaCy {version('spacy')}. *Same reason* counts the texts of "
        "which both give the same one, or none.",
    ]
    for title, texts in (("Pages", list(pages(options.paths))), ("Hostile texts", hostile(options.hostile))):
        rows, disagreements = compare(texts)
        head = [
            "",
            f"## {title}",
            "",
            "| filter | texts | same decision | | same reason |",
            "|---|--:|--:|--:|--:|",
        ]
        page += [*head, *rows, "", f"Disagreements: {len(disagreements) or 'none'}.", "", *disagreements]
    text = "\n".join(page).rstrip() + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run(main)
