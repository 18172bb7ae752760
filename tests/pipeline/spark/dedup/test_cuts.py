"""Cuts found by Spark, next to those found by brute force on the same corpus."""

import random

import pytest

from core.config import DedupConfig
from pipeline.dedup.cuts import Span, cut
from pipeline.spark.dedup.cuts import find_cuts
from pipeline.spark.dedup.spans import CUTS
from tests.pipeline.dedup import oracle

pytestmark = pytest.mark.spark

COLUMNS = "part string, id string, text string, url string, path string"
URLS = ["http://www.a.org/1", "https://a.org/2", "http://B.org:80/3", "http://b.org/4", None, "http://[", ""]
HOSTS = ["a.org", "a.org", "b.org", "b.org", None, None, None]
LINES = {"min_documents": 3, "min_hosts": 2, "min_characters": 3}
MIN_WORDS = 4


def _corpus(seed, documents=120):
    """Documents that share lines and passages; some consist of nothing else, one is empty."""
    source = random.Random(seed)
    vocabulary = ["a", "b", "c.", "d", "甲", "é", "Word"]

    def passage(words):
        return " ".join(source.choice(vocabulary) for _ in range(words))

    lines = [passage(source.randrange(1, 5)) for _ in range(10)]
    passages = [passage(source.randrange(3, 12)) for _ in range(10)]
    rows = []
    for number in range(documents):
        parts = [
            source.choice([source.choice(lines), source.choice(passages), f"{number}.{part} {passage(3)}"])
            for part in range(source.randrange(6))
        ]
        text = "".join(part + source.choice(["\n", "\n", "\n\n", " "]) for part in parts)
        url = source.randrange(len(URLS))
        file = f"file-{number % 5}"
        rows.append((f"part-{number % 7}.parquet", f"{source.randrange(2**64):016x}", text, URLS[url], file))
    return rows


def _found(spark, rows, partitions, folder, **settings):
    survivors = spark.createDataFrame(rows, COLUMNS).repartition(partitions)
    table = find_cuts(spark, survivors, DedupConfig(**settings), str(folder))
    assert table.columns == CUTS.names
    found = {"lines": {}, "substrings": {}}
    parts = {row[1]: row[0] for row in rows}
    for row in table.collect():
        assert row["part"] == parts[row["id"]]
        assert row["id"] not in found[row["reason"]]
        found[row["reason"]][row["id"]] = [tuple(span) for span in row["spans"]]
    return found


def _expected(rows):
    texts = {row[1]: row[2] for row in rows}
    hosts = {row[1]: HOSTS[URLS.index(row[3])] or row[4] for row in rows}
    lines = oracle.repeated_lines(texts, hosts, **LINES)
    return {"lines": lines, "substrings": oracle.repeated_passages(texts, MIN_WORDS, lines)}


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_cuts_equal_those_found_by_brute_force(spark, tmp_path, partitions):
    rows = _corpus(seed=1)
    expected = _expected(rows)
    assert min(map(len, expected.values())) > 15
    found = _found(spark, rows, partitions, tmp_path, lines=LINES, substrings={"min_words": MIN_WORDS})
    assert found == expected


def test_each_step_works_alone(spark, tmp_path):
    rows = _corpus(seed=2, documents=40)
    texts = {row[1]: row[2] for row in rows}
    only = _found(spark, rows, 3, tmp_path / "100% [1]", substrings={"min_words": MIN_WORDS})
    assert only == {"lines": {}, "substrings": oracle.repeated_passages(texts, MIN_WORDS, {})}
    only = _found(spark, rows, 3, tmp_path / "a b", lines={"min_documents": 2})
    lines = oracle.repeated_lines(texts, dict.fromkeys(texts, ""), 2, 1, 3)
    assert only == {"lines": lines, "substrings": {}}
    assert _found(spark, rows, 3, tmp_path / "none") == {"lines": {}, "substrings": {}}


def test_no_documents_no_cuts(spark, tmp_path):
    none = _found(spark, [], 1, tmp_path, lines=LINES, substrings={"min_words": MIN_WORDS})
    assert none == {"lines": {}, "substrings": {}}


def test_after_a_cut_every_line_is_rare(spark, tmp_path):
    rows = _corpus(seed=3, documents=40)
    found = _found(spark, rows, 2, tmp_path / "first", lines=LINES)["lines"]
    assert found
    cut_rows = [
        (part, identifier, cut(text, [Span(*span) for span in found.get(identifier, ())]), url, path)
        for part, identifier, text, url, path in rows
    ]
    assert _found(spark, cut_rows, 2, tmp_path / "second", lines=LINES)["lines"] == {}


def test_a_passage_in_very_many_documents_stays_in_the_first(spark, tmp_path):
    """5,000 documents share one passage: as many windows, not as many as pairs of documents."""
    rows = [
        (f"part-{n % 3}", f"{n:08x}", f"{n}a {n}b one two three four {n}c", None, "f") for n in range(5000)
    ]
    found = _found(spark, rows, 2, tmp_path, substrings={"min_words": 4})["substrings"]
    assert sorted(found) == [row[1] for row in rows[1:]]
    assert all(row[2][slice(*found[row[1]][0])] == "one two three four" for row in rows[1:])
