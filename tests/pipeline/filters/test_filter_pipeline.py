import pickle
import re
from pathlib import Path

import fasttext
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import FiltersConfig
from core.errors import ConfigError, InputError
from pipeline.analysis import analyse
from pipeline.document import METRICS
from pipeline.filters import FilterPipeline, FilterResult, recipe, resolved_thresholds
from pipeline.filters.classifier.model import NEGATIVE, POSITIVE
from pipeline.ledger import RULES, Drop, Reason

PROSE = """The harbour lies on the north side of the island and has been in use since the twelfth century.
Fishing was the main trade of the town, and the boats that came back each evening were met by the village.
A new pier was built in 1931, when ferries to the mainland began to run twice a day with cars and goods.
Visitors can walk along the old walls, which have stood up to many storms, and climb the tower to see the bay.
The museum holds nets, lamps and letters that sailors sent home; it opens on every day but Monday."""
"""A text of five sentences that every preset keeps."""

NOT_ALWAYS = {"language_stop_words", "quality", "toxic_sentences"}
TAKEN = {metric for metric in METRICS if metric not in NOT_ALWAYS and not metric.startswith("url_")}


@pytest.fixture(scope="module")
def quality_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learned from two lines."""
    folder = tmp_path_factory.mktemp("quality")
    lines = [f"{POSITIVE} good better best the harbour", f"{NEGATIVE} bad worse worst"] * 20
    (folder / "lines.txt").write_text("\n".join(lines))
    path = folder / "quality.bin"
    fasttext.train_supervised(
        str(folder / "lines.txt"), dim=4, epoch=50, lr=1.0, minCount=1, bucket=0, thread=1, verbose=0
    ).save_model(str(path))
    return path


def judge(text: str, preset: str = "fineweb", **settings: object) -> FilterResult:
    return FilterPipeline(FiltersConfig.model_validate({"preset": preset, **settings})).filter_text(text)


@pytest.mark.parametrize("preset", recipe.preset_names())
def test_every_preset_keeps_prose_and_measures_what_it_asks_for(preset: str, quality_model: Path) -> None:
    settings = FiltersConfig(
        preset=preset, quality_model=str(quality_model), thresholds={"quality.score": 0.01}
    )
    judged = FilterPipeline(settings).filter_text(PROSE)
    assert judged.drop is None
    assert judged.text == PROSE and judged.language == "en" and judged.language_score > 0.65
    asked = {condition.metric for condition in recipe.build_recipe(settings).text_conditions}
    assert asked <= {*judged.metrics, "language_score"} and set(judged.metrics) <= set(METRICS)
    assert set(judged.metrics) >= TAKEN or recipe.build_recipe(settings).preset.counting != "datatrove"
    assert all(isinstance(value, int | float) for value in judged.metrics.values())
    assert judged.word_hashes.tolist() == analyse(PROSE).word_hashes.tolist()


def test_what_is_shown_of_a_text_is_masked_as_the_text_is() -> None:
    assert FilterPipeline(FiltersConfig()).mask("Write to a@b.org.", "en") == "Write to <email>."
    assert FilterPipeline(FiltersConfig(preset="none")).mask("Write to a@b.org.", "en") == "Write to a@b.org."


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
    assert drop.value is not None and drop.threshold == resolved_thresholds(FiltersConfig())[reason]


def test_c4_lines_and_personal_data_leave_the_text() -> None:
    text = PROSE + "\nShare\nWrite to the harbour master: master@harbour.org today."
    judged = judge(text)
    assert judged.text == PROSE + "\nWrite to the harbour master: <email> today."
    assert judged.metrics["pii_emails"] == 1
    assert judged.word_hashes.tolist() == analyse(judged.text).word_hashes.tolist()
    assert "master@harbour.org" in judge(text, mask_pii=False).text
    assert "Share" in judge(text, "gopher").text


def test_lines_and_sentences_leave_the_text_as_the_preset_says() -> None:
    insult = "You are a stupid bitch and nobody likes you."
    text = PROSE.replace("The museum holds", insult + " The museum holds") + "\nHOME\nNo full stop"
    judged = judge(text, "dolma")
    assert judged.text == PROSE and judged.metrics["toxic_sentences"] == 1 and judged.drop is None
    judged = judge(text, "refinedweb")
    assert judged.text == text.replace("\nHOME", "")
    assert judged.metrics["refinedweb_removed_words"] == pytest.approx(1 / len(text.split()))


def test_many_items_of_personal_data() -> None:
    text = PROSE + "\n" + " ".join(f"Write to master{number}@harbour.org today." for number in range(6))
    drop = judge(text, "dolma").drop
    assert drop and (drop.reason, drop.value, drop.threshold) == (Reason.PII_ITEMS, 6, 5)


def test_thresholds_and_stop_words_of_the_text_s_own_language() -> None:
    german = (
        "Der Hafen liegt im Norden der Insel und wird seit dem Mittelalter genutzt. Der Fischfang war "
        "lange der wichtigste Erwerb des Ortes, und die Boote, die am Abend kamen, wurden vom ganzen Dorf "
        "erwartet. Ein neuer Anleger wurde gebaut, als die Fähren zum Festland zweimal am Tag mit Wagen und "
        "Gütern fuhren. Besucher können auf den alten Mauern gehen, die manchem Sturm getrotzt haben."
    )
    judged = judge(german, "multilingual")
    assert judged.drop is None and judged.metrics["language_stop_words"] == 4
    drop = judge(german, "gopher").drop
    assert drop and drop.reason == Reason.GOPHER_FEW_STOP_WORDS
    limits = {"gopher.few_words": {"default": 50, "de": 500}}
    drop = judge(german, "multilingual", thresholds=limits).drop
    assert drop and (drop.reason, drop.threshold) == (Reason.GOPHER_FEW_WORDS, 500)
    assert judge(PROSE, "multilingual", thresholds=limits).drop is None
    limits = {"gopher.few_words": {"de": 500}}
    assert judge(german, "gopher", thresholds=limits).drop != judge(german, "gopher").drop


def test_decisions_follow_from_the_numbers_alone() -> None:
    settings = FiltersConfig(preset="multilingual", languages=("en",))
    made, judged = (
        recipe.build_recipe(settings),
        FilterPipeline(settings).filter_text(PROSE + " # # # # # # # # # # # # # # #"),
    )
    again = recipe.first_failing(made, judged.metrics, judged.language, judged.language_score)
    assert again == judged.drop and again and again.reason == Reason.GOPHER_HASHES
    assert recipe.first_failing(made, {}) is None
    assert recipe.first_failing(made, {}, "de", 0.9) == Drop(Reason.LANGUAGE_UNWANTED, 0.9)
    by_address = recipe.first_failing(made, {"url_domain": 1.0} | judged.metrics, "de", 0.9)
    assert by_address == Drop(Reason.URL_DOMAIN, 1.0, 0.0)


def test_recipes_that_measure_alike() -> None:
    presets = ("none", "multilingual", "fineweb", "gopher", "c4", "dolma")
    made = {name: recipe.build_recipe(FiltersConfig(preset=name)) for name in presets}
    assert recipe.differing_settings(made["fineweb"], made["fineweb"]) == []
    assert recipe.differing_settings(made["none"], made["multilingual"]) == []
    assert recipe.differing_settings(made["fineweb"], made["gopher"]) == ["lines"]
    assert recipe.differing_settings(made["fineweb"], made["c4"]) == ["terminal_punctuation"]
    differences = ["counting", "split_unspaced", "lines", "toxic_sentence"]
    assert recipe.differing_settings(made["fineweb"], made["dolma"]) == differences


def test_quality_is_measured_by_the_user_s_model(quality_model: Path) -> None:
    asked = {"quality.score": 0.9}
    settings = FiltersConfig(preset="none", quality_model=str(quality_model), thresholds=asked)
    drop = FilterPipeline(settings).filter_text("bad worse worst bad worse worst").drop
    assert drop and drop.reason == Reason.QUALITY_SCORE and drop.value is not None and drop.value < 0.1
    assert FilterPipeline(settings).filter_text("good better best good better best").drop is None
    with pytest.raises(
        ConfigError, match=r"filters\.quality_model is empty: quality\.score = 0\.9 needs a model"
    ):
        FilterPipeline(FiltersConfig(preset="none", thresholds=asked))
    assert (
        "quality"
        not in FilterPipeline(FiltersConfig(preset="dclm", thresholds={"quality.score": 0}))
        .filter_text(PROSE)
        .metrics
    )


def test_words_and_models_of_the_user_s_own(tmp_path: Path, quality_model: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("harbour\nferries\nmuseum\nsailors\ntower\nwalls\n")
    assert judge(PROSE, toxicity_words=str(words)).metrics["toxicity"] > judge(PROSE).metrics["toxicity"]
    by_another = judge("good better best", "none", toxicity_model=str(quality_model)).metrics["toxicity"]
    assert by_another > 0.9
    listed = recipe.resolved(FiltersConfig(toxicity_words=str(words)))
    assert listed["files"]["toxicity_words"][0].startswith(str(words))
    with pytest.raises(InputError, match="nothing there"):
        recipe.resolved(FiltersConfig(toxicity_words=str(tmp_path / "none")))


def test_languages_that_are_not_wanted() -> None:
    drop = judge(PROSE, languages=("de", "fr")).drop
    assert drop and drop.reason == Reason.LANGUAGE_UNWANTED
    assert judge(PROSE, languages=("en",)).drop is None


def test_thresholds_override_and_add() -> None:
    assert judge(PROSE[:217], thresholds={"gopher.few_words": 20}, preset="gopher").drop is None
    drop = judge(PROSE, "none", thresholds={"gopher.few_words": 1000}).drop
    assert drop and (drop.reason, drop.threshold) == (Reason.GOPHER_FEW_WORDS, 1000)
    order = list(resolved_thresholds(FiltersConfig(thresholds={"language.score": 0.1})))
    assert order == list(resolved_thresholds(FiltersConfig()))


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest valid name is fineweb"):
        FilterPipeline(FiltersConfig(preset="fineweb2"))
    with pytest.raises(ConfigError, match=r"few_words: only for de, .* other languages need one"):
        FilterPipeline(FiltersConfig(preset="none", thresholds={"gopher.few_words": {"de": 500}}))
    with pytest.raises(ConfigError, match=r"filters\.languages: 'English' is no language"):
        FilterPipeline(FiltersConfig(languages=("English",)))
    with pytest.raises(ConfigError, match=r"few_words: 'deu' is a language that is called de here"):
        FilterPipeline(FiltersConfig(thresholds={"gopher.few_words": {"deu": 500}}))
    FilterPipeline(FiltersConfig(languages=("als", "sr-Latn", "zh", "ceb")))
    with pytest.raises(ConfigError, match=r"nearest valid name is gopher\.few_words"):
        resolved_thresholds(FiltersConfig(thresholds={"gopher.fewwords": 1}))


def test_judge_is_pickled_with_its_settings() -> None:
    original = FilterPipeline(FiltersConfig(preset="gopher"))
    copy = pickle.loads(pickle.dumps(original))
    assert copy.filter_text("The end has come.").drop == original.filter_text("The end has come.").drop


def test_every_rule_has_a_metric() -> None:
    assert {metric for metric, _ in RULES.values()} <= {*METRICS, "language_score"}
    for reason in Reason:
        if reason.stage not in {"read", "extract", "dedup"}:
            assert reason in RULES or reason is Reason.LANGUAGE_UNWANTED
