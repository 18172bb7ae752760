"""What other filters would make of a run, beside what they make of its input."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import FiltersConfig, load
from core.errors import ConfigError, ManifestError, MismatchError
from jobs import rethreshold as job
from pipeline import document
from pipeline.filters.recipe import FILES, first_failing, differing_settings, names, recipe
from pipeline.ledger import Reason
from pipeline.ledger.comparison import QUARANTINED
from pipeline.spark import one_pass, redecide, tables
from pipeline.spark.clean import clean
from pipeline.spark.rethreshold import MEASURED_BY, decide, failing, rethreshold
from tests import small_crawl

pytestmark = pytest.mark.spark

LANGUAGES = ["en", "de", "zh", "xx"]
OF_MODELS = {"quality_model": "model.ftz", "toxicity_words": "words"}
RECIPES = [recipe(FiltersConfig(preset=name, languages=("en", "de", "zh"), **OF_MODELS)) for name in names()]
LIMITS = {
    metric: sorted({each.limit(language) for each in conditions for language in LANGUAGES})
    for metric in [*document.METRICS, "language_score"]
    if (conditions := [each for wanted in RECIPES for each in wanted.conditions if each.metric == metric])
}


def _values(metric):
    """Numbers at a threshold, about it, or none."""
    beside = [limit + step for limit in LIMITS.get(metric, [0.0]) for step in (-1e-9, 0.0, 1e-9)]
    return st.sampled_from([*beside, None])


MEASURES = st.fixed_dictionaries({metric: _values(metric) for metric in document.METRICS})
RECORDS = st.lists(st.tuples(MEASURES, st.sampled_from(LANGUAGES), _values("language_score")), min_size=1)


def _records(spark, rows):
    schema = one_pass.schema()
    full = [{name: row.get(name) for name in schema.names} for row in rows]
    return spark.createDataFrame(full, tables.from_arrow_schema(schema))


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS)
def test_the_expression_decides_as_the_judge_does(spark, records):
    rows = [
        {"id": str(number), "metrics": metrics, "language": language, "language_score": score}
        for number, (metrics, language, score) in enumerate(records)
    ]
    decisions = [failing(wanted).alias(str(number)) for number, wanted in enumerate(RECIPES)]
    for row in _records(spark, rows).select("id", *decisions).collect():
        metrics, language, score = records[int(row["id"])]
        for number, wanted in enumerate(RECIPES):
            drop = first_failing(wanted, metrics, language, score)
            assert row[str(number)] == (drop and drop.reason.value)


def test_what_was_not_measured_stands_and_is_named(spark):
    fine = dict.fromkeys(document.METRICS, None) | {"gopher_words": 100.0}
    address = dict.fromkeys(document.METRICS, None) | {"url_word": 1.0}
    measured = {"language": "en", "language_score": 0.9}
    rows = [
        {"id": "0", "reason": "read.revisit"},
        {"id": "1", "reason": "url.word", "metrics": address},
        {"id": "2", "reason": "extract.empty", "metrics": address},
        {"id": "3", "reason": "gopher.few_words", "metrics": fine, **measured},
        {"id": "4", "metrics": fine | {"gopher_words": 9.0}, **measured},
        {"id": "5", "metrics": fine | {"toxicity": 0.1}, **measured},
    ]
    empty = dict.fromkeys(one_pass.schema().names)
    limits = {"gopher.few_words": 50, "toxicity.score": 0.5}
    wanted = {
        "none": [("read.revisit", None), ("url.word", "url.word"), ("extract.empty", None)],
        "address": [("read.revisit", None), ("url.word", None), ("url.word", None)],
    }
    for name, first in wanted.items():
        thresholds = limits | ({"url.word": 0} if name == "address" else {})
        asked = recipe(FiltersConfig(preset="none", thresholds=thresholds))
        table = decide(_records(spark, rows), asked)
        found = [(row["reason"], row["unasked"]) for row in table.orderBy("id").collect()]
        assert found == [redecide.decide(empty | row, asked) for row in rows]
        assert found == [
            *first,
            (None, "toxicity.score"),
            ("gopher.few_words", None),
            (None, "dedup.near"),  # without keys
        ]


@pytest.fixture(scope="module")
def runs(spark, tmp_path_factory):
    """The same crawl cleaned by recipes that measure and edit alike, one of them keeping all."""
    folder = tmp_path_factory.mktemp("rethreshold")
    crawl = small_crawl.build(folder / "raw").folder
    made = {}
    for preset in ("none", "gopher"):
        config = load(None, [f'input.paths=["{crawl}"]', *_wanted(folder / preset, preset)])
        made[preset] = folder / preset, clean(spark, config)
    return made


def _wanted(out, preset):
    return [f"output.path={out}", f"filters.preset={preset}", "filters.mask_pii=false"]


@pytest.mark.parametrize("most_here", [0, redecide.MOST_RECORDS], ids=["by Spark", "here"])
@pytest.mark.parametrize("before", ["none", "gopher"])
@pytest.mark.parametrize("after", ["none", "gopher"])
def test_it_is_what_a_run_of_its_own_decides(spark, runs, before, after, most_here, monkeypatch):
    monkeypatch.setattr(redecide, "MOST_RECORDS", most_here)
    out, own = runs[before]
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    found = rethreshold(lambda: spark, load(None, _wanted(out, after)))
    assert found.preset == before
    assert not set(found.unlike) - {
        "split_unspaced",
        "terminal_punctuation",
    }  # which Gopher's rules do not see
    fates = [Counter(), Counter()]
    for change in found.changes:
        fates[0][change.before] += change.records
        fates[1][change.after] += change.records
        assert change.unasked is None
    assert [_counts(fate) for fate in fates] == [_expected(own), _expected(runs[after][1])]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == {
        path: time for path, time in files.items() if path.is_file()
    }


def _counts(fates):
    reasons = {reason: count for reason, count in fates.items() if reason in set(Reason)}
    return reasons | {"kept": fates[None], QUARANTINED: fates[QUARANTINED]}


def _expected(made):
    reasons = {
        key.removeprefix("dropped."): n for key, n in made.counts.items() if key.startswith("dropped.")
    }
    return reasons | {"kept": made.counts["kept"], QUARANTINED: made.counts["quarantined"]}


def test_the_job_prints_both_funnels_and_what_is_not_certain(spark, runs, capsys):
    out, made = runs["gopher"]
    job.main([f"--set={each}" for each in (f"output.path={out}", "filters.preset=c4")])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "run (gopher) c4"
    assert f"records in {made.counts['records_in']} {made.counts['records_in']}" in lines
    assert f"gopher.few_words {made.counts['dropped.gopher.few_words']} 0" in lines
    assert any(line.startswith("not certain: lines differs from the run's, ") for line in lines)


def test_whatever_makes_recipes_measure_otherwise_is_explained():
    differing = {key for one in RECIPES for other in RECIPES for key in differing_settings(one, other)}
    assert {*differing, *FILES, "mask_pii"} <= set(MEASURED_BY)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("filters.preset=gofer", ConfigError, r"the nearest valid name is gopher$"),
        ("dedup.bands=20", MismatchError, r"^dedup\.bands = 20: the run compared its documents with 14, "),
        ("output.path=/nowhere", ManifestError, r"has no manifest\.json"),
    ],
)
def test_what_cannot_be_decided_is_refused(spark, runs, override, error, message):
    out, _ = runs["gopher"]
    with pytest.raises(error, match=message):
        rethreshold(lambda: spark, load(None, [*_wanted(out, "gopher"), override]))
