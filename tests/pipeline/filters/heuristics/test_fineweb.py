import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters import FineWebQualityFilter
from datatrove.utils.text import TERMINAL_PUNCTUATION
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import Columns, analyse, analyse_together
from pipeline.analysis.characters import sentence_terminals
from pipeline.filters.heuristics import fineweb

LIMITS = {
    "line_punct_ratio": lambda metrics: metrics["fineweb_finished_lines"] < 0.12,
    "short_line_ratio": lambda metrics: metrics["fineweb_short_lines"] > 0.67,
    "char_dup_ratio": lambda metrics: metrics["fineweb_duplicate_line_characters"] > 0.01,
    "list_ratio": lambda metrics: metrics["fineweb_newlines_per_word"] > 0.3,
}
LINES = [
    "Short.",
    "Short",
    "  ",
    "",
    "A line that is rather longer than thirty characters",
    "Long enough " * 9 + "।",
]


@given(st.lists(st.sampled_from(LINES), min_size=1).map("\n".join).filter(str.strip))
def test_decides_as_datatrove(text: str) -> None:
    decision = FineWebQualityFilter().filter(Document(text=text, id=""))
    metrics = fineweb.measure(analyse(text))
    failed = next((name for name, fails in LIMITS.items() if fails(metrics)), None)
    assert failed == (None if decision is True else decision[1])


def test_sentence_terminals_match_datatrove() -> None:
    assert sentence_terminals() == TERMINAL_PUNCTUATION


def test_metrics_of_empty_text_are_zero() -> None:
    assert {values.tolist()[0] for values in fineweb.measure(analyse("")).values()} == {0}


@given(st.lists(st.sampled_from([*LINES, "  Indented, with 文字 “quotes” and 3.5%.\t", "..."])), st.data())
def test_measures_selected_lines_as_a_text_of_its_own(lines: list[str], data: st.DataObject) -> None:
    text = "\n".join(lines)
    split = text.splitlines()
    wordy = [number for number, line in enumerate(split) if line.strip()]
    kept = sorted(data.draw(st.sets(st.sampled_from(wordy)))) if wordy else []
    alone = analyse("\n".join(split[number].strip() for number in kept))
    assert fineweb.measure(analyse(text), np.array(kept, np.int64)) == fineweb.measure(alone)


@given(st.lists(st.lists(st.sampled_from(LINES)).map("\n".join), min_size=1), st.booleans())
def test_texts_measured_together_are_as_alone(texts: list[str], select: bool) -> None:
    def measure(texts: list[str]) -> Columns:
        analysis = analyse_together(texts)
        lines = analysis.split_lines
        inked = np.flatnonzero(lines.end_segment > lines.first_segment)
        return fineweb.measure(analysis, inked if select else None)

    together = measure(texts)
    for index, text in enumerate(texts):
        assert {name: values[index] for name, values in together.items()} == measure([text])
