import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import analyse
from pipeline.config import Filters
from pipeline.document import METRICS
from pipeline.errors import ConfigError
from pipeline.filters import Judge, Judged, recipe, resolved_thresholds
from pipeline.ledger import RULES, Reason

PROSE = """The harbour lies on the north side of the island and has been in use since the twelfth century.
Fishing was the main trade of the town, and the boats that came back each evening were met by the village.
A new pier was built in 1931, when ferries to the mainland began to run twice a day with cars and goods.
Visitors can walk along the old walls, which have stood up to many storms, and climb the tower to see the bay.
The museum holds nets, lamps and letters that sailors sent home; it opens on every day but Monday."""
"""A text of five sentences that every preset keeps."""

NOT_ALWAYS = {"language_stop_words", "quality", "toxic_sentences"}
TAKEN = {metric for metric in METRICS if metric not in NOT_ALWAYS and not metric.startswith("url_")}


def judge(text: str, preset: str = "fineweb", **settings: object) -> Judged:
    return Judge(Filters.model_validate({"preset": preset, **settings})).text(text)


@pytest.mark.parametrize("preset", recipe.names())
def test_every_preset_keeps_prose_and_measures_everything(preset: str) -> None:
    judged = judge(PROSE, preset)
    assert judged.drop is None
    assert judged.text == PROSE and judged.language == "en" and judged.language_score > 0.65
    assert set(judged.metrics) == TAKEN | {"language_stop_words"}
    assert all(isinstance(value, int | float) for value in judged.metrics.values())
    assert judged.word_hashes.tolist() == analyse(PROSE).word_hashes.tolist()


@given(st.text() | st.lists(st.sampled_from(["the ", "word ", "a@b.org ", "\n", "{ ", "# "])).map("".join))
def test_none_keeps_every_text_as_it_is(text: str) -> None:
    judged = judge(text, "none")
    assert judged.drop is None and judged.text == text
    assert TAKEN <= set(judged.metrics) <= set(METRICS) and np.isfinite(list(judged.metrics.values())).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("xqzv jkwp 12 %% vvz bbrt kkl ppq", "language.score"),
        (PROSE[:217], "gopher.few_words"),
        (PROSE + "\n\n" + PROSE + "\n\n" + PROSE, "gopher.duplicate_paragraphs"),
        (PROSE + "\n" + PROSE, "gopher.duplicate_lines"),
        (PROSE + " 12 34 56 , ; : ( ) 7 8 9 , ; ." * 3, "gopher.unalphabetic"),
        (PROSE.replace("\n", " # # # # #\n"), "gopher.hashes"),
        (PROSE + "\nThen came lorem ipsum to it.", "c4.lorem_ipsum"),
        (PROSE + "\nif (ready) { start here", "c4.curly_bracket"),
        (PROSE.replace(".\n", ", \n").replace("\n", "")[:-1] + ";", "c4.few_sentences"),
        (PROSE.replace(".\n", ". And so it goes;\n") + " So", "fineweb.unfinished_lines"),
        (re.sub(r"((?:\S+\s){3}\S+)\s((?:\S+\s){4}\S+)\s", r"\1\n\2.\n", PROSE), "fineweb.short_lines"),
    ],
)
def test_first_failing_condition_is_named(text: str, reason: str) -> None:
    drop = judge(text).drop
    assert drop and drop.reason == reason
    assert drop.value is not None and drop.threshold == resolved_thresholds(Filters())[reason]


def test_c4_lines_and_personal_data_leave_the_text() -> None:
    text = PROSE + "\nShare\nWrite to the harbour master: master@harbour.org today."
    judged = judge(text)
    assert judged.text == PROSE + "\nWrite to the harbour master: <email> today."
    assert judged.metrics["pii_emails"] == 1
    assert judged.word_hashes.tolist() == analyse(judged.text).word_hashes.tolist()
    assert "master@harbour.org" in judge(text, mask_pii=False).text
    assert "Share" in judge(text, "gopher").text


def test_languages_that_are_not_wanted() -> None:
    drop = judge(PROSE, languages=("de", "fr")).drop
    assert drop and drop.reason == Reason.LANGUAGE_UNWANTED
    assert judge(PROSE, languages=("en",)).drop is None


def test_thresholds_override_and_add() -> None:
    assert judge(PROSE[:217], thresholds={"gopher.few_words": 20}, preset="gopher").drop is None
    drop = judge(PROSE, "none", thresholds={"gopher.few_words": 1000}).drop
    assert drop and (drop.reason, drop.threshold) == (Reason.GOPHER_FEW_WORDS, 1000)
    order = list(resolved_thresholds(Filters(thresholds={"language.score": 0.1})))
    assert order == list(resolved_thresholds(Filters()))


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest valid name is fineweb"):
        Judge(Filters(preset="fineweb2"))
    with pytest.raises(ConfigError, match=r"nearest valid name is gopher\.few_words"):
        resolved_thresholds(Filters(thresholds={"gopher.fewwords": 1}))


def test_judge_is_pickled_with_its_settings() -> None:
    original = Judge(Filters(preset="gopher"))
    copy = pickle.loads(pickle.dumps(original))
    assert copy.text("The end has come.").drop == original.text("The end has come.").drop


def test_every_rule_has_a_metric() -> None:
    assert {metric for metric, _ in RULES.values()} <= {*METRICS, "language_score"}
    for reason in Reason:
        if reason.stage not in {"read", "extract", "dedup"}:
            assert reason in RULES or reason is Reason.LANGUAGE_UNWANTED
