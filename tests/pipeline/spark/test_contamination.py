"""Decontamination in the pass over text, and what clean and dedup publish of it."""

import gzip
import json
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from core.config import load
from core.errors import ConfigError, InputError
from pipeline.decontamination import load_index
from pipeline.ledger.record_history import record_histories
from pipeline.readers.inputs import plan_splits
from pipeline.spark import record_processing
from pipeline.spark.clean import clean, validate
from pipeline.spark.dedup import stage as dedup_stage
from pipeline.spark.report import report
from pipeline.spark.rethreshold import rethreshold
from tests import small_crawl

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
GOAL = "How do I ready a guinea pig cage for it's new occupants?"
PLANTED = f"{small_crawl.prose(1)}\n\n{QUESTION.upper()}\n\n{small_crawl.prose(2)}"
TEXTS = {
    "clean": small_crawl.prose(0),
    "planted": PLANTED,
    "both": f"{GOAL} {small_crawl.prose(3)} {QUESTION}",
    "short": f"{GOAL} Yes.",
    "only": QUESTION,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "corpus").mkdir()
    lines = [json.dumps({"text": text, "url": f"https://a.org/{name}"}) for name, text in TEXTS.items()]
    (folder / "corpus" / "pages.jsonl").write_text("\n".join(lines))
    (folder / "sets").mkdir()
    items = [
        {"question": "Too short?"},
        {"question": QUESTION},
        {"question": "An item that is in no document at all."},
    ]
    (folder / "sets" / "gsm8k.jsonl.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, items)).encode())
    )
    (folder / "sets" / "piqa.jsonl").write_text(json.dumps({"goal": GOAL}))
    (folder / "sets" / "idle.jsonl").write_text(json.dumps({"goal": small_crawl.prose(99)}))
    return folder


def _config(data, *settings):
    sets = f'decontamination.paths=["{data}/sets"]'
    recipe = ["filters.preset=none", 'filters.thresholds."gopher.few_words"=20', "ledger.sample_share=1"]
    return load(None, [f'input.paths=["{data}/corpus"]', sets, *recipe, *settings])


def _by_name(rows):
    return {row["url"].rpartition("/")[2]: row for row in rows}


def _process(data, *settings, process=record_processing.process_splits):
    config = _config(data, *settings)
    batches = process(plan_splits(config.input), config, load_index(config.decontamination))
    return _by_name(row for batch in batches for row in batch.to_pylist())


def test_contaminated_texts_are_dropped(data):
    rows = _process(data)
    reasons = {name: row["reason"] for name, row in rows.items()}
    dropped = "contamination.ngram"
    assert reasons == {
        "clean": None,
        "planted": dropped,
        "both": dropped,
        "short": "gopher.few_words",
        "only": dropped,
    }
    assert rows["planted"]["text"] is None
    assert rows["planted"]["value"] == rows["planted"]["contamination"]["hits"] == 19
    assert rows["planted"]["sample"] == QUESTION.upper()[:-1]
    matches = [(match["benchmark"], match["item"]) for match in rows["both"]["contamination"]["matches"]]
    assert matches == [("gsm8k", 2), ("piqa", 1)]
    # Dropped by a filter, but searched for another recipe.
    assert rows["short"]["contamination"]["drops"]
    assert rows["clean"]["contamination"] is None


def test_passages_are_cut_and_the_rest_is_hashed(data, tmp_path):
    rows = _process(data, "decontamination.action=cut", "decontamination.margin=0")
    before, after = small_crawl.prose(1), small_crawl.prose(2)
    assert rows["planted"]["text"] == f"{before}\n\n{after}"
    assert rows["planted"]["reason"] is None
    assert (
        rows["planted"]["contamination"]["removed_characters"] == len(PLANTED) - len(before) - len(after) - 2
    )
    assert rows["only"]["reason"] == "contamination.ngram"
    (tmp_path / "corpus").mkdir()
    (tmp_path / "sets").symlink_to(data / "sets")
    texts = {name: row["text"] or "-" for name, row in rows.items()}
    lines = [json.dumps({"text": text, "url": f"https://a.org/{name}"}) for name, text in texts.items()]
    (tmp_path / "corpus" / "pages.jsonl").write_text("\n".join(lines))
    again = _process(tmp_path)
    for name in ("clean", "planted", "both"):
        for column in ("text_hash", "normalized_hash", "words", "keys", "shingles"):
            assert again[name][column] == rows[name][column]
        assert again[name]["contamination"] is None


def test_marked_texts_are_unchanged(data):
    marked = _process(data, "decontamination.action=mark")
    without = _process(data, "decontamination.paths=[]")
    assert marked["planted"].pop("contamination")
    assert without["planted"].pop("contamination") is None
    assert marked["planted"] == without["planted"]


def test_texts_of_tables_are_decontaminated_too(data):
    rows = _process(data, process=record_processing.process_texts)
    assert {name for name, row in rows.items() if row["reason"]} == {"planted", "both", "short", "only"}


@pytest.mark.spark
def test_clean_publishes_what_was_found(spark, data, tmp_path):
    out = tmp_path / "out"
    made = clean(spark, _config(data, f"output.path={out}"))
    assert made.counts["dropped.contamination.ngram"] == 3
    table = ds.dataset(out / "contamination").to_table().to_pylist()
    assert sorted((row["url"][-4:], row["benchmark"], row["item"]) for row in table) == [
        ("both", "gsm8k", 2),
        ("both", "piqa", 1),
        ("nted", "gsm8k", 2),
        ("only", "gsm8k", 2),
    ]
    assert any(entry.path.startswith("contamination/") for entry in made.files)
    facts = made.facts["contamination"]
    assert (facts["action"], facts["documents"], facts["removed_characters"]) == ("drop", 3, 0)
    sets = {each["name"]: each for each in facts["sets"]}
    assert {name: (each["items_hit"], each["documents_hit"]) for name, each in sets.items()} == {
        "gsm8k": (1, 3),
        "idle": (0, 0),
        "piqa": (1, 1),
    }
    assert (sets["gsm8k"]["items"], sets["gsm8k"]["too_short"]) == (3, 1)
    (top,) = sets["gsm8k"]["top_items"]
    assert (top["item"], top["documents"], top["hits"], len(top["examples"])) == (2, 3, 19, 3)
    page = Path(report(spark, _config(data, f"output.path={out}"))).read_text()
    assert QUESTION[:60] in page
    assert "1 of 3 evaluation sets matched no document: idle" in page
    (history,) = record_histories(str(out), "https://a.org/both")
    assert "item 2 of gsm8k (19 n-grams), item 1 of piqa" in history
    assert "number of n-grams is 2" in history
    (change,) = [
        change
        for change in rethreshold(lambda: spark, _config(data, f"output.path={out}")).changes
        if change.after == "contamination.ngram"
    ]
    assert (change.before, change.records) == ("contamination.ngram", 3)


@pytest.mark.spark
def test_the_contents_of_the_sets_are_part_of_the_run(spark, data, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "set.jsonl").write_text(json.dumps({"goal": GOAL}))
    settings = (
        f"output.path={out}",
        f'decontamination.paths=["{tmp_path}/set.jsonl"]',
        "decontamination.action=cut",
    )
    first = clean(spark, _config(data, *settings))
    assert clean(spark, _config(data, *settings)).sha256() == first.sha256()
    (tmp_path / "set.jsonl").write_text(json.dumps({"goal": QUESTION}))
    other = clean(spark, _config(data, *settings, "output.overwrite=true"))
    assert other.fingerprint != first.fingerprint
    assert other.facts["contamination"]["removed_characters"] > len(QUESTION)


@pytest.mark.spark
def test_dedup_decontaminates(spark, data, tmp_path):
    out = tmp_path / "out"
    made = dedup_stage.dedup(spark, _config(data, f"output.path={out}", "decontamination.action=drop"))
    assert made.counts["dropped.contamination.ngram"] == 4
    assert made.facts["contamination"]["documents"] == 4
    assert [row["url"] for row in pq.read_table(out / "documents").to_pylist()] == ["https://a.org/clean"]


@pytest.mark.spark
def test_bad_sets_change_nothing(spark, data, tmp_path):
    config = _config(data, f"output.path={tmp_path}/out", 'decontamination.fields=["gaol"]')
    with pytest.raises(InputError, match="no line has text in"):
        clean(spark, config)
    with pytest.raises(InputError, match="no line has text in"):
        dedup_stage.dedup(spark, config)
    assert not (tmp_path / "out").exists()


def test_dry_run_reports_what_the_run_would(data, tmp_path):
    missing = f'decontamination.paths=["{tmp_path}/missing.jsonl"]'
    for check in (validate, dedup_stage.validate):
        with pytest.raises(InputError, match="nothing there"):
            check(_config(data, f"output.path={tmp_path}/out", missing))
    with pytest.raises(ConfigError, match="texts are searched while they are read"):
        again = ("input.paths=[]", f"dedup.run={tmp_path}", f"output.path={tmp_path}/out")
        dedup_stage.validate(_config(data, *again))
