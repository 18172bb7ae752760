"""Another recipe applied to a finished run decides as a run of its own would."""

import json
import re
from collections import Counter

import pytest

from core.config import FiltersConfig, load
from core.errors import ConfigError, ManifestError, MismatchError
from jobs import rethreshold as job
from pipeline.filters.recipe import FILE_SETTINGS, build_recipe, differing_settings, preset_names
from pipeline.ledger import Reason
from pipeline.ledger.comparison import QUARANTINED
from pipeline.spark.clean import clean
from pipeline.spark.rethreshold import EDITING, LOCAL_RECORDS, MEASURED_BY, rethreshold
from tests import small_crawl

pytestmark = pytest.mark.spark

RECIPES = [
    build_recipe(FiltersConfig(preset=name, quality_model="model.ftz", toxicity_words="words"))
    for name in preset_names()
]


@pytest.fixture(scope="module")
def runs(spark, tmp_path_factory):
    """The same crawl cleaned by two presets that measure and edit alike, one of which keeps everything."""
    folder = tmp_path_factory.mktemp("rethreshold")
    crawl = small_crawl.build(folder / "raw").folder
    made = {}
    for preset in ("none", "gopher"):
        config = load(None, [f'input.paths=["{crawl}"]', *_overrides(folder / preset, preset)])
        made[preset] = folder / preset, clean(spark, config)
    return made


def _overrides(out, preset):
    return [f"output.path={out}", f"filters.preset={preset}", "filters.mask_pii=false"]


@pytest.mark.parametrize("local_records", [0, LOCAL_RECORDS], ids=["by Spark", "in one process"])
@pytest.mark.parametrize("before", ["none", "gopher"])
@pytest.mark.parametrize("after", ["none", "gopher"])
def test_decisions_equal_those_of_a_run_of_its_own(spark, runs, before, after, local_records, monkeypatch):
    monkeypatch.setattr("pipeline.spark.rethreshold.LOCAL_RECORDS", local_records)
    out, own = runs[before]
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    found = rethreshold(lambda: spark, load(None, _overrides(out, after)))
    assert found.preset == before
    # Gopher's conditions do not depend on these.
    assert set(found.differing) <= {"split_unspaced", "terminal_punctuation"}
    fates = [Counter(), Counter()]
    for change in found.changes:
        fates[0][change.before] += change.records
        fates[1][change.after] += change.records
        assert change.unmeasured is None
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


@pytest.fixture(scope="module")
def repeated(spark, tmp_path_factory):
    """A run that dropped an older capture of an address and two documents without lines of their own."""
    folder = tmp_path_factory.mktemp("repeated")
    texts = ["one line\nand another", "and another\none line", "first capture", "later capture"]
    urls = ["https://a.org/1", "https://a.org/2", "https://a.org/3", "https://a.org/3"]
    rows = [
        {"text": text, "url": url, "date": f"2020-01-0{day}"}
        for day, (text, url) in enumerate(zip(texts, urls, strict=True), start=1)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ["filters.preset=none", "dedup.url=true", "dedup.near=false", "dedup.lines.min_documents=2"]
    config = load(None, [f"input.paths=['{folder}/a.jsonl']", f"output.path={folder / 'out'}", *settings])
    return folder / "out", clean(spark, config), settings


@pytest.mark.parametrize("local_records", [0, LOCAL_RECORDS], ids=["by Spark", "in one process"])
def test_run_is_counted_by_its_ledger_and_settings_that_are_not_applied_are_named(
    spark, repeated, local_records, monkeypatch
):
    monkeypatch.setattr("pipeline.spark.rethreshold.LOCAL_RECORDS", local_records)
    out, made, settings = repeated
    found = rethreshold(lambda: spark, load(None, [f"output.path={out}", *settings]))
    before, after = Counter(), Counter()
    for change in found.changes:
        before[change.before] += change.records
        after[change.after] += change.records
    assert _counts(before) == _expected(made)
    assert before == {"dedup.repeated": 2, "dedup.url": 1, None: 1}
    assert after == {"dedup.url": 1, None: 3}
    assert set(found.not_applied) == {"dedup.lines"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("dedup.index=elsewhere", {"dedup.index", "dedup.lines"}),
        ("dedup.substrings.min_words=50", {"dedup.lines", "dedup.substrings"}),
        ("dedup.substrings={min_words = 50, action = 'mark'}", {"dedup.lines"}),
    ],
)
def test_requested_settings_that_are_not_applied_are_printed(spark, repeated, override, expected, capsys):
    out, _, _ = repeated
    job.main([f"--set={each}" for each in (f"output.path={out}", "filters.preset=none", override)])
    printed = capsys.readouterr().out
    assert set(re.findall(r"not certain: (\S+) is not applied here", printed)) == expected


def test_job_prints_both_funnels_and_uncertain_decisions(spark, runs, capsys):
    out, made = runs["gopher"]
    job.main([f"--set={each}" for each in (f"output.path={out}", "filters.preset=c4")])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "run (gopher) c4"
    assert f"records in {made.counts['records_in']} {made.counts['records_in']}" in lines
    assert f"gopher.few_words {made.counts['dropped.gopher.few_words']} 0" in lines
    assert any(line.startswith("not certain: lines differs from the run's, ") for line in lines)
    edits = (
        "texts are as the run edited them: lines, terminal_punctuation, mask_pii would edit them differently"
    )
    assert any(line.startswith(edits) for line in lines)


def test_every_differing_setting_is_explained():
    differing = {key for one in RECIPES for other in RECIPES for key in differing_settings(one, other)}
    assert {*differing, *FILE_SETTINGS, *EDITING} == set(MEASURED_BY)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("filters.preset=gofer", ConfigError, r"the nearest valid name is gopher$"),
        ("dedup.preset=refinedweb", MismatchError, r"pass --set dedup\.bands=14 --set dedup\.rows=8, or run"),
        ("dedup.shingle=4", MismatchError, r"^dedup\.shingle = 4: the run compared its documents with 5, "),
        ("output.path=/nowhere", ManifestError, r"has no manifest\.json"),
    ],
)
def test_invalid_requests_are_rejected(spark, runs, override, error, message):
    out, _ = runs["gopher"]
    with pytest.raises(error, match=message):
        rethreshold(lambda: spark, load(None, [*_overrides(out, "gopher"), override]))
