from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import FiltersConfig
from pipeline.analysis import analyse
from pipeline.filters import FilterPipeline, FilterResult, recipe
from pipeline.filters.heuristics import c4, refinedweb
from pipeline.filters.line_rules import Edits, apply, count_characters, count_removed

LINES = [
    "The first line of a paragraph ends here.",
    "    An indented line, which is one of code.  ",
    "Share",
    "A line [12] with a citation mark.",
    "[edit]",
    "",
    " \t",
    "No full stop here",
    "Read our Privacy Policy now.",
    "SHOUTED MENU ENTRY",
    "漢字。 漢字 漢字。",
]


def edit(text: str, preset: str) -> Edits:
    settings = recipe.build_recipe(FiltersConfig(preset=preset, thresholds={"quality.score": 0})).preset
    analysis = analyse(text, split_unspaced=settings.split_unspaced)
    c4_result = c4.clean(analysis, terminal_punctuation=settings.terminal_punctuation)
    return apply(analysis, settings, c4_result, refinedweb.correct(analysis))


def test_paragraphs_and_indentation_are_published() -> None:
    text = """A first paragraph of two lines.
Its second line is here.

Share


  An indented second paragraph.
Menu
It goes on [3] for a while."""
    edited = edit(text, "fineweb")
    assert edited.published[0] == (
        "A first paragraph of two lines.\nIts second line is here.\n\n"
        "  An indented second paragraph.\nIt goes on  for a while."
    )
    assert edited.measured_text(0) == edited.published[0].replace("\n\n  ", "\n")
    counts = count_removed(analyse(text), edited.published)
    assert counts == {"characters": 102, "removed_characters": 12, "removed_lines": 2}


@given(st.lists(st.sampled_from(LINES)), st.sampled_from(["fineweb", "c4", "dolma", "refinedweb"]))
@settings(max_examples=60)
def test_published_words_are_the_measured_ones_in_the_original_paragraphs(
    lines: list[str], preset: str
) -> None:
    text = "\n".join(lines)
    edited = edit(text, preset)
    measured, (published,) = edited.measured_text(0), edited.published
    assert published.split() == measured.split()
    assert analyse(published).word_hashes.tolist() == analyse(measured).word_hashes.tolist()
    if published.split() == text.split():
        assert published == text
    counts = count_removed(analyse(text), [published])
    assert counts["removed_characters"] == count_characters(text) - count_characters(published)
    assert 0 <= counts["removed_lines"] <= counts["removed_characters"]
    if preset != "refinedweb" and published != text:
        assert "\n\n\n" not in published


@given(st.lists(st.sampled_from(LINES)))
@settings(max_examples=30)
def test_keeping_lines_changes_the_text_only(lines: list[str]) -> None:
    text = "\n".join(lines)
    edited = FilterPipeline(FiltersConfig()).filter_text(text)
    kept = FilterPipeline(FiltersConfig()).filter_text(text, keep_lines=True)
    assert kept.text == text and kept.drop == edited.drop
    assert _without_removals(kept) == _without_removals(edited)
    assert kept.metrics["removed_characters"] == kept.metrics["removed_lines"] == 0


def _without_removals(result: FilterResult) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if not name.startswith("removed_")}
