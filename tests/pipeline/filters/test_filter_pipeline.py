import pickle
import re
from pathlib import Path

import fasttext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import FiltersConfig
from core.errors import ConfigError, InputError
from pipeline.document import METRICS
from pipeline.filters import FilterInput, FilterPipeline, FilterResult, recipe, resolved_thresholds
from pipeline.filters.classifier.model import NEGATIVE, POSITIVE
from pipeline.ledger import RULES, Drop, Reason
from pipeline.reports.distribution import metrics

PROSE = """The harbour lies on the north side of the island and has been in use since the twelfth century.
Fishing was the main trade of the town, and the boats that came back each evening were met by the village.
A new pier was built in 1931, when ferries to the mainland began to run twice a day with cars and goods.
Visitors can walk along the old walls, which have stood up to many storms, and climb the tower to see the bay.
The museum holds nets, lamps and letters that sailors sent home; it opens on every day but Monday."""
"""Five sentences that every preset keeps."""

OPTIONAL = {"language_stop_words", "quality", "toxic_sentences"}
ALWAYS_MEASURED = {metric for metric in METRICS if metric not in OPTIONAL and not metric.startswith("url_")}


@pytest.fixture(scope="module")
def quality_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier trained on two lines."""
    folder = tmp_path_factory.mktemp("quality")
    lines = [f"{POSITIVE} good better best the harbour", f"{NEGATIVE} bad worse worst"] * 20
    (folder / "lines.txt").write_text("\n".join(lines))
    path = folder / "quality.bin"
    fasttext.train_supervised(
        str(folder / "lines.txt"), dim=4, epoch=50, lr=1.0, minCount=1, bucket=0, thread=1, verbose=0
    ).save_model(str(path))
    return path


def filter_text(text: str, preset: str = "fineweb", **settings: object) -> FilterResult:
    return FilterPipeline(FiltersConfig.model_validate({"preset": preset, **settings})).filter_text(text)


@pytest.mark.parametrize("preset", recipe.preset_names())
def test_every_preset_keeps_prose_and_measures_its_conditions(preset: str, quality_model: Path) -> None:
    settings = FiltersConfig(
        preset=preset, quality_model=str(quality_model), thresholds={"quality.score": 0.01}
    )
    result = FilterPipeline(settings).filter_text(PROSE)
    assert result.drop is None
    assert result.text == PROSE and result.language == "en" and result.language_score > 0.65
    required = {condition.metric for condition in recipe.build_recipe(settings).text_conditions}
    assert required <= {*result.metrics, "language_score"} and set(result.metrics) <= set(METRICS)
    assert (
        set(result.metrics) >= ALWAYS_MEASURED or recipe.build_recipe(settings).preset.counting != "datatrove"
    )
    assert all(isinstance(value, int | float) for value in result.metrics.values())


TEXTS = [
    PROSE,
    PROSE.upper(),
    PROSE.replace("harbour", "harbour [12]"),
    "Der Hafen liegt an der Nordseite der Insel [edit] und wird seit dem zwölften Jahrhundert benutzt.",
    "委员会将于星期四开会讨论调查结果。 委员会将于星期四开会讨论调查结果。",
    "You are a f u c k i n g idiot and I hate you, sh1t.",
    "Share\n\n3 likes\r\nSIGN IN\n{ javascript İ",
    "Write to master@harbour.org or call +49 30 901820.",
    " \n",
    "",
]


@given(
    st.lists(st.lists(st.sampled_from(TEXTS), max_size=4).map("\n".join), max_size=6),
    st.sampled_from(["fineweb", "c4", "dolma", "dclm", "refinedweb", "multilingual"]),
)
@settings(max_examples=60)
def test_texts_filtered_together_are_as_alone(texts: list[str], preset: str) -> None:
    filters = FilterPipeline(FiltersConfig(preset=preset, thresholds={"quality.score": 0}))
    inputs = [FilterInput(text, language, bool(language)) for text in texts for language in ("", "de")]
    alone = [filters.filter_text(text, code, keep_lines=keep) for text, code, keep in inputs]
    assert list(filters.filter_texts(inputs)) == alone


SHARES = [name for name, metric in metrics().items() if metric.description.startswith("share of ")]


@given(
    st.lists(st.sampled_from(["ha ", "ha", "...", "a.", "\n", "\n\n", "- ", "…", "#", "漢", "x" * 9])).map(
        "".join
    ),
    st.sampled_from(["fineweb", "dolma", "dclm"]),
)
@settings(max_examples=60)
def test_shares_are_at_most_one(text: str, preset: str) -> None:
    result = filter_text(text, preset, thresholds={"quality.score": 0})
    assert [
        (name, result.metrics[name]) for name in SHARES if not 0 <= result.metrics.get(name, 0) <= 1
    ] == []


def test_repeated_sequences_that_overlap_are_the_whole_text() -> None:
    assert filter_text("ha " * 20).metrics["gopher_top_4_gram"] == 1


def test_mask_follows_the_preset() -> None:
    assert FilterPipeline(FiltersConfig()).mask("Write to a@b.org.", "en") == "Write to <email>."
    assert FilterPipeline(FiltersConfig(preset="none")).mask("Write to a@b.org.", "en") == "Write to a@b.org."


@given(st.text() | st.lists(st.sampled_from(["the ", "word ", "a@b.org ", "\n", "{ ", "# "])).map("".join))
def test_none_keeps_every_text_unchanged(text: str) -> None:
    result = filter_text(text, "none")
    assert result.drop is None and result.text == text
    assert (
        ALWAYS_MEASURED <= set(result.metrics) <= set(METRICS)
        and np.isfinite(list(result.metrics.values())).all()
    )


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
def test_first_failing_condition_is_reported(text: str, reason: str) -> None:
    drop = filter_text(text).drop
    assert drop and drop.reason == reason
    assert drop.value is not None and drop.threshold == resolved_thresholds(FiltersConfig())[reason]


def test_c4_lines_and_personal_data_are_removed() -> None:
    text = PROSE + "\nShare\nWrite to the harbour master: master@harbour.org today."
    result = filter_text(text)
    assert result.text == PROSE + "\nWrite to the harbour master: <email> today."
    assert result.metrics["pii_emails"] == 1
    assert "master@harbour.org" in filter_text(text, mask_pii=False).text
    assert "master@harbour.org" in filter_text(text, "none").text
    assert filter_text(text, "none", mask_pii=True).text == text.replace("master@harbour.org", "<email>")
    assert "Share" in filter_text(text, "gopher").text


def test_presets_remove_lines_and_toxic_sentences() -> None:
    insult = "You are a stupid bitch and nobody likes you."
    text = PROSE.replace("The museum holds", insult + " The museum holds") + "\nHOME\nNo full stop"
    result = filter_text(text, "dolma")
    assert result.text == PROSE and result.metrics["toxic_sentences"] == 1 and result.drop is None
    result = filter_text(text, "refinedweb")
    assert result.text == text.replace("\nHOME", "")
    assert result.metrics["refinedweb_removed_words"] == pytest.approx(1 / len(text.split()))


def test_personal_data_items_are_counted() -> None:
    text = PROSE + "\n" + " ".join(f"Write to master{number}@harbour.org today." for number in range(6))
    drop = filter_text(text, "dolma").drop
    assert drop and (drop.reason, drop.value, drop.threshold) == (Reason.PII_ITEMS, 6, 5)


def test_thresholds_and_stop_words_by_language() -> None:
    german = (
        "Der Hafen liegt im Norden der Insel und wird seit dem Mittelalter genutzt. Der Fischfang war "
        "lange der wichtigste Erwerb des Ortes, und die Boote, die am Abend kamen, wurden vom ganzen Dorf "
        "erwartet. Ein neuer Anleger wurde gebaut, als die Fähren zum Festland zweimal am Tag mit Wagen und "
        "Gütern fuhren. Besucher können auf den alten Mauern gehen, die manchem Sturm getrotzt haben."
    )
    result = filter_text(german, "multilingual")
    assert result.drop is None and result.metrics["language_stop_words"] == 4
    drop = filter_text(german, "gopher").drop
    assert drop and drop.reason == Reason.GOPHER_FEW_STOP_WORDS
    limits = {"gopher.few_words": {"default": 50, "de": 500}}
    drop = filter_text(german, "multilingual", thresholds=limits).drop
    assert drop and (drop.reason, drop.threshold) == (Reason.GOPHER_FEW_WORDS, 500)
    assert filter_text(PROSE, "multilingual", thresholds=limits).drop is None
    limits = {"gopher.few_words": {"de": 500}}
    assert filter_text(german, "gopher", thresholds=limits).drop != filter_text(german, "gopher").drop


def test_decisions_depend_on_metrics_alone() -> None:
    settings = FiltersConfig(preset="multilingual", languages=("en",))
    built = recipe.build_recipe(settings)
    result = FilterPipeline(settings).filter_text(PROSE + " # # # # # # # # # # # # # # #")
    again = recipe.first_failing(built, result.metrics, result.language, result.language_score)
    assert again == result.drop and again and again.reason == Reason.GOPHER_HASHES
    assert recipe.first_failing(built, {}) is None
    assert recipe.first_failing(built, {}, "de", 0.9) == Drop(Reason.LANGUAGE_UNWANTED, 0.9)
    by_url = recipe.first_failing(built, {"url_domain": 1.0} | result.metrics, "de", 0.9)
    assert by_url == Drop(Reason.URL_DOMAIN, 1.0, 0.0)


def test_differing_settings() -> None:
    presets = ("none", "multilingual", "fineweb", "gopher", "c4", "dolma")
    recipes = {name: recipe.build_recipe(FiltersConfig(preset=name)) for name in presets}
    assert recipe.differing_settings(recipes["fineweb"], recipes["fineweb"]) == []
    assert recipe.differing_settings(recipes["none"], recipes["multilingual"]) == []
    assert recipe.differing_settings(recipes["fineweb"], recipes["gopher"]) == ["lines"]
    assert recipe.differing_settings(recipes["fineweb"], recipes["c4"]) == ["terminal_punctuation"]
    differences = ["counting", "split_unspaced", "lines", "toxic_sentence"]
    assert recipe.differing_settings(recipes["fineweb"], recipes["dolma"]) == differences


def test_quality_uses_the_configured_model(quality_model: Path) -> None:
    thresholds = {"quality.score": 0.9}
    settings = FiltersConfig(preset="none", quality_model=str(quality_model), thresholds=thresholds)
    drop = FilterPipeline(settings).filter_text("bad worse worst bad worse worst").drop
    assert drop and drop.reason == Reason.QUALITY_SCORE and drop.value is not None and drop.value < 0.1
    assert FilterPipeline(settings).filter_text("good better best good better best").drop is None
    with pytest.raises(
        ConfigError, match=r"filters\.quality_model is empty: quality\.score = 0\.9 needs a model"
    ):
        FilterPipeline(FiltersConfig(preset="none", thresholds=thresholds))
    assert (
        "quality"
        not in FilterPipeline(FiltersConfig(preset="dclm", thresholds={"quality.score": 0}))
        .filter_text(PROSE)
        .metrics
    )


def test_configured_toxicity_words_and_models(tmp_path: Path, quality_model: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("harbour\nferries\nmuseum\nsailors\ntower\nwalls\n")
    assert (
        filter_text(PROSE, toxicity_words=str(words)).metrics["toxicity"]
        > filter_text(PROSE).metrics["toxicity"]
    )
    score = filter_text("good better best", "none", toxicity_model=str(quality_model)).metrics["toxicity"]
    assert score > 0.9
    resolved = recipe.resolved(FiltersConfig(toxicity_words=str(words)))
    assert resolved["files"]["toxicity_words"][0].startswith(str(words))
    with pytest.raises(InputError, match="nothing there"):
        recipe.resolved(FiltersConfig(toxicity_words=str(tmp_path / "none")))


def test_unwanted_languages_are_dropped() -> None:
    drop = filter_text(PROSE, languages=("de", "fr")).drop
    assert drop and drop.reason == Reason.LANGUAGE_UNWANTED
    assert filter_text(PROSE, languages=("en",)).drop is None


def test_configured_thresholds_override_and_extend_the_preset() -> None:
    assert filter_text(PROSE[:217], thresholds={"gopher.few_words": 20}, preset="gopher").drop is None
    drop = filter_text(PROSE, "none", thresholds={"gopher.few_words": 1000}).drop
    assert drop and (drop.reason, drop.threshold) == (Reason.GOPHER_FEW_WORDS, 1000)
    order = list(resolved_thresholds(FiltersConfig(thresholds={"language.score": 0.1})))
    assert order == list(resolved_thresholds(FiltersConfig()))


def test_unknown_names_are_rejected() -> None:
    with pytest.raises(ConfigError, match="nearest valid name is fineweb"):
        FilterPipeline(FiltersConfig(preset="fineweb2"))
    with pytest.raises(ConfigError, match=r"few_words: only for de, .* other languages need one"):
        FilterPipeline(FiltersConfig(preset="none", thresholds={"gopher.few_words": {"de": 500}}))
    with pytest.raises(ConfigError, match=r"few_words: 'Germann' is not a language; the nearest valid codes"):
        FilterPipeline(FiltersConfig(thresholds={"gopher.few_words": {"Germann": 500}}))
    with pytest.raises(ConfigError, match=r"nearest valid name is gopher\.few_words"):
        resolved_thresholds(FiltersConfig(thresholds={"gopher.fewwords": 1}))


@pytest.mark.parametrize("code", ["xy", "qq", "xyz", "xy-Latn"])
def test_unknown_language_codes_are_rejected(code: str) -> None:
    with pytest.raises(ConfigError, match=f"'{code}' is not a language; the nearest valid codes are "):
        FilterPipeline(FiltersConfig(languages=(code,)))
    FilterPipeline(FiltersConfig(languages=(code,), language_model="s3://absent/other.bin"))


@pytest.mark.parametrize("code", ["als", "sr-Latn", "zh", "ceb", "no", "sh", "ha", "ary", "gsw"])
def test_known_language_codes_are_accepted(code: str) -> None:
    FilterPipeline(FiltersConfig(languages=(code,)))


@pytest.mark.parametrize("spelling", ["EN", "English", "en-US", "en_GB", "eng", "eng_Latn"])
def test_languages_are_configured_in_any_spelling(spelling: str) -> None:
    assert filter_text(PROSE, languages=(spelling,)).drop is None
    limits = {"gopher.few_words": {"default": 5, spelling: 5000}}
    drop = filter_text(PROSE, thresholds=limits).drop
    assert drop and drop.threshold == 5000


def test_pipeline_is_picklable() -> None:
    original = FilterPipeline(FiltersConfig(preset="gopher"))
    copy = pickle.loads(pickle.dumps(original))
    assert copy.filter_text("The end has come.").drop == original.filter_text("The end has come.").drop


def test_every_condition_has_a_metric() -> None:
    assert {metric for metric, _ in RULES.values()} <= {*METRICS, "language_score"}
    for reason in Reason:
        if reason.stage not in {"read", "extract", "contamination", "dedup"}:
            assert reason in RULES or reason is Reason.LANGUAGE_UNWANTED
