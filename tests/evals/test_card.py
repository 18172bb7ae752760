"""Cards: every number has a source file, everything else is marked as not measured."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import manifest, storage
from core.errors import ConfigError, GristmillError, InputError, ManifestError, MismatchError, OutputError
from core.manifest import FileEntry, Manifest
from evals.__main__ import main as evaluate
from evals.card import content, rendering
from evals.card.__main__ import main
from evals.card.provenance import JsonNode, Number, SourceFiles
from model import export

TEMPLATES = rendering.TEMPLATES
LICENSES = {"books": ["", None, "public | domain"], "wikipedia": ["CC-BY-SA-4.0"] * 2}


def corpus(folder: Path, **changes: Any) -> None:
    """Write the output of a finished clean stage."""
    counts = {"records_in": 1234, "kept": 5, "dropped": 1226, "quarantined": 3, "duplicate_clusters": 17}
    counts |= {"dropped.gopher.few_words": 1200, "dropped.dedup.near": 26, **changes}
    config: dict[str, Any] = {
        "filters": {
            "preset": "fineweb",
            "languages": ["en", "fr"],
            "thresholds": {"gopher.few_words": 31.5},
            "mask_pii": True,
        },
        "dedup": {"exact": True, "near": False},
    }
    publish(folder, "clean", counts, config)


def publish(folder: Path, stage: str, counts: dict[str, int], config: dict[str, Any], **facts: Any) -> None:
    """Write the manifest of a stage, and documents with source and license only."""
    files = []
    for source, licenses in LICENSES.items():
        path = folder / "documents" / f"part-{source}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"source": [source] * len(licenses), "license": pa.array(licenses, pa.string())}
        pq.write_table(pa.table(columns), path)
        size, sha256 = storage.checksum(str(path))
        name = str(path.relative_to(folder))
        files.append(FileEntry(path=name, size=size, rows=len(licenses), sha256=sha256))
    by_source = {"books": {"records_in": 734, "kept": 3}, "wikipedia": {"records_in": 500, "dropped": 498}}
    made = Manifest(
        stage=stage,
        fingerprint="f",
        config=config,
        inputs=[],
        counts=counts,
        files=files,
        facts={"corpus": "0" * 64, "by_source": by_source, **facts},
    )
    manifest.publish(str(folder), made)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run with all stages finished."""
    folder = tmp_path / "run"
    folder.mkdir()
    for part in trained.iterdir():
        (folder / part.name).symlink_to(part)
    corpus(folder)
    return folder


@pytest.fixture
def results(run: Path, tmp_path: Path) -> Path:
    text = tmp_path / "text.txt"
    text.write_text("the old mill turns slow " * 20)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "sent_more,sent_less,stereo_antistereo,bias_type\nmill,stone,stereo,age\na,b,stereo,race\n"
    )
    out = tmp_path / "results"
    evaluate(
        [
            *("--model", str(run), "--suite", "text", "crows-pairs", "--to", str(out)),
            *("--data", f"text={text}", f"crows-pairs={pairs}", "--set", "evals.bootstrap=20"),
        ]
    )
    return out


def cards(tmp_path: Path, *arguments: str) -> dict[str, str]:
    to = tmp_path / "cards"
    main([*arguments, "--to", str(to)])
    return {path.name: path.read_text() for path in to.glob("*.md")}


def listed(card: str) -> dict[str, str]:
    return dict(re.findall(r"^\| \[\d+\] \| (.+) \| ([0-9a-f]{64}) \|$", card, flags=re.M))


def test_data_card_matches_manifests(run: Path, tmp_path: Path) -> None:
    card = cards(tmp_path, "--run", str(run))["data-card.md"]
    for line in (
        "| all | 1,234 | 5 | 1,226 | 3 |",
        "| books | 734 | 3 | – | – |",
        "| books | not stated | 2 |",
        r"| books | public \| domain | 1 |",
        "| wikipedia | CC-BY-SA-4.0 | 2 |",
        "| gopher.few_words | 1,200 | 97.2 % | 31.5 |",
        "| dedup.near | 26 | 2.1 % | – |",
    ):
        assert f"\n{line}\n" in card
    assert "en, fr" in card and "near-duplicates\nkept." in card
    shards = json.loads((run / "shards" / "manifest.json").read_text())
    for split, sources in shards["facts"]["sources"].items():
        for source, totals in sources.items():
            numbers = " | ".join(f"{totals[key]:,}" for key in ("documents", "tokens", "bytes"))
            assert f"| {split} | {source} | {numbers} |" in card
    files = listed(card)
    for name in ("manifest.json", "tokenizer/manifest.json", "shards/manifest.json"):
        assert files[name] == storage.checksum(str(run / name))[1]
    assert any(name.startswith("documents/") for name in files)


def test_model_card_lists_edits(run: Path, tmp_path: Path) -> None:
    path, original = run / "training" / "manifest.json", (run / "training").resolve()
    training = json.loads(path.read_text())
    (run / "training").unlink()
    (run / "training").mkdir()
    for part in original.iterdir():
        if part.name != path.name:
            (run / "training" / part.name).symlink_to(part)
    contents = {21: "3 documents in 5 rows", 1500: "rows 0 to 9 of train/web/part-00000.arrow"}
    training["facts"]["edits"] = [
        {"from_step": step, "content": content, "sha256": "0" * 64} for step, content in contents.items()
    ]
    path.write_text(json.dumps(training))
    card = cards(tmp_path, "--run", str(run))["model-card.md"]
    assert f"{training['facts']['order_sha256']}, from which edits left out:\n\n" in card
    assert f"\n- {contents[21]}, from step 21 on\n- {contents[1500]}, from step 1,500 on\n\n*From [" in card
    assert not re.search(r"\n{4}", card)


def test_model_card_matches_results(run: Path, results: Path, tmp_path: Path) -> None:
    card = cards(tmp_path, "--run", str(run), "--results", str(results))["model-card.md"]
    training = json.loads((run / "training" / "manifest.json").read_text())
    assert f"| parameters | {training['counts']['parameters']:,} |" in card
    assert f"| val/bpb, last step | {training['facts']['metrics']['val/bpb']:.4f} |" in card
    for source, count in training["facts"]["tokens_seen"].items():
        assert f"\n| tokens seen, {source} | {count:,} |\n" in card
    assert f"\nOrder of the data: {training['facts']['order_sha256']}.\n" in card
    summary = json.loads((results / "results.json").read_text())
    text, pairs = summary["suites"]
    bits = text["metrics"][0]
    assert f"| bits per byte | {bits['value']:.4f} | {bits['standard_error']:.4f} |" in card
    evaluation, bias, toxicity = (
        card.partition(f"## {name}\n")[2].partition("\n## ")[0] for name in ("Evaluation", "Bias", "Toxicity")
    )
    assert "### text" in evaluation and "crows-pairs" not in evaluation
    assert "### crows-pairs" in bias and f"{pairs['metrics'][0]['value']:.4f}" in bias
    assert toxicity.strip() == "Not measured."
    front = card.split("---\n")[1]
    assert '- "en"\n- "fr"' in front
    assert f"value: {bits['value']!r}" in front
    assert (
        listed(card)["results.json (text, crows-pairs)"] == storage.checksum(str(results / "results.json"))[1]
    )
    assert not re.search(r"\n{4}", card)


def test_cards_are_updated_only_if_sources_change(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = cards(tmp_path, "--run", str(run))
    capsys.readouterr()
    assert cards(tmp_path, "--run", str(run)) == first
    assert capsys.readouterr().out == f"{tmp_path / 'cards'}: the cards are up to date\n"
    manifest_file = run / "manifest.json"
    manifest_file.write_text(manifest_file.read_text().replace("1234", "1235"))
    with pytest.raises(OutputError, match=r"--set output\.overwrite=true"):
        cards(tmp_path, "--run", str(run))
    changed = cards(tmp_path, "--run", str(run), "--set", "output.overwrite=true")
    assert "| all | 1,235 |" in changed["data-card.md"]


def test_stages_that_were_not_run_are_not_measured(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    corpus(folder)
    found = cards(tmp_path, "--run", str(folder))
    assert set(found) == {"data-card.md"}, "no model card without a model"
    assert "Not measured: the run has no tokenizer." in found["data-card.md"]
    assert "Not measured: the run has no shards." in found["data-card.md"]


DEDUP = {
    "exact": True,
    "near": True,
    "url": True,
    "run": "",
    "index": "s3://bucket/index",
    "output": "documents",
    "lines": {"min_documents": 100},
    "substrings": {"action": "mark"},
}


def test_data_card_of_deduplicated_texts_speaks_of_no_filters(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for part in trained.iterdir():
        (folder / part.name).symlink_to(part)
    counts = {"records_in": 31, "kept": 5, "dropped": 26, "quarantined": 0, "duplicate_clusters": 17}
    counts |= {"dropped.dedup.near": 25, "dropped.dedup.repeated": 1}
    cuts = {
        "lines": {"documents": 3, "spans": 1400, "characters": 56_000},
        "substrings": {"documents": 2, "spans": 2, "characters": 700},
    }
    sets = [{"name": "arc"}, {"name": "mmlu"}]
    contamination = {"sets": sets, "documents": 12, "action": "drop"}
    publish(folder, "dedup", counts, {"dedup": DEDUP}, cuts=cuts, contamination=contamination)
    found = cards(tmp_path, "--run", str(folder))
    card = " ".join(found["data-card.md"].split())
    for sentence in (
        "a corpus of texts was deduplicated. No text was extracted from raw records, and no filter was",
        "| dedup.near | 25 | 80.6 % |",
        "Exact duplicates were removed, near-duplicates removed. Of pages with the same address, the latest",
        "Duplicates of documents of earlier runs, in the signature index s3://bucket/index, were removed.",
        "Repeated lines were removed: 1,400 in 3 documents, 56,000 characters.",
        "Repeated passages were marked, not removed: 2 in 2 documents, 700 characters.",
        "Evaluation sets that were searched for: arc, mmlu. Documents that contain items of them (12) were",
        "`jobs/dedup.py` ran with this configuration.",
    ):
        assert sentence in card
    for phrase in ("preset", "threshold", "Personal data such as", "fluent falsehoods", "\n\n\n\n"):
        assert phrase not in found["data-card.md"]
    assert "pre-trained with Gristmill on the corpus" in found["model-card.md"]
    assert "\nlanguage:" not in found["model-card.md"]


def test_data_card_of_a_run_decided_about_again_names_it(tmp_path: Path) -> None:
    counts = {"records_in": 5, "kept": 5, "dropped": 0, "quarantined": 0, "duplicate_clusters": 0}
    publish(tmp_path / "run", "dedup", counts, {"dedup": DEDUP | {"run": "runs/first"}})
    card = cards(tmp_path, "--run", str(tmp_path / "run"))["data-card.md"]
    assert "the run runs/first, which was finished, was deduplicated\nagain." in card


def test_list_of_duplicates_has_no_data_card(tmp_path: Path) -> None:
    counts = {"records_in": 5, "kept": 5, "dropped": 0, "quarantined": 0, "duplicate_clusters": 0}
    publish(tmp_path / "run", "dedup", counts, {"dedup": DEDUP | {"output": "duplicates"}})
    with pytest.raises(InputError, match=r"has no documents \(dedup\.output = duplicates\)"):
        cards(tmp_path, "--run", str(tmp_path / "run"))


def test_exported_model_has_a_card(trained: Path, tmp_path: Path) -> None:
    export.export(str(trained), str(tmp_path / "model"))
    card = cards(tmp_path, "--model", str(tmp_path / "model"))["model-card.md"]
    assert "Trained with Gristmill. The run was not given" in card
    assert card.count("Not measured") == 6
    shape = json.loads((tmp_path / "model" / "config.json").read_text())
    assert f"| hidden size | {shape['hidden_size']} |" in card
    assert '"format": "checkpoint"' in card
    assert set(listed(card)) == {"model/manifest.json", "model/config.json"}


def test_exported_model_with_its_run_describes_training(run: Path, tmp_path: Path) -> None:
    export.export(str(run), str(tmp_path / "model"))
    card = cards(tmp_path, "--run", str(run), "--model", str(tmp_path / "model"))["model-card.md"]
    training = json.loads((run / "training" / "manifest.json").read_text())
    assert f"| train/loss, last step | {training['facts']['metrics']['train/loss']:.4f} |" in card
    assert "A decoder-only transformer, pre-trained with Gristmill" in card


def test_fine_tuned_model_describes_fine_tuning(trained: Path, tmp_path: Path) -> None:
    """The run has no corpus; the fine-tuning and model manifests share a fingerprint."""
    run = tmp_path / "tuned"
    export.export(str(trained), str(run / "model"))
    model = run / "model" / "manifest.json"
    model_manifest = json.loads(model.read_text())
    made = Manifest(
        stage="finetune",
        fingerprint=model_manifest["fingerprint"],
        config={"finetune": {"learning_rate": 3e-5}},
        inputs=[],
        counts={"steps": 7, "sequences": 56, "parameters": 1, "examples train": 50},
        files=[],
        facts={"metrics": {"train/loss": 1.25, "train/lr": 0.1}},
    )
    manifest.publish(str(run / "finetuning"), made)
    found = cards(tmp_path, "--run", str(run))
    assert set(found) == {"model-card.md"}
    tuning = found["model-card.md"].partition("## Fine-tuning\n")[2].partition("\n## ")[0]
    assert "7 steps over 56 sequences." in tuning
    assert "| train/loss, last step | 1.2500 |" in tuning and "train/lr" not in tuning
    assert "| examples train | 50 |" in tuning
    model.write_text(json.dumps(model_manifest | {"fingerprint": "another"}))
    with pytest.raises(MismatchError, match="does not come from the run"):
        cards(tmp_path, "--run", str(run), "--set", "output.overwrite=true")


def test_dry_run_checks_sources_and_writes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cards(tmp_path, "--run", str(run), "--dry-run") == {}
    assert json.loads(capsys.readouterr().out)["output"]
    with pytest.raises(InputError, match="/nowhere: does not exist"):
        cards(tmp_path, "--run", str(run), "--model", "/nowhere", "--dry-run")
    assert not (tmp_path / "cards").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], ConfigError, "neither --run nor --model"),
        (["--run", "/nowhere"], InputError, "/nowhere: contains no finished model; train one first"),
        (["--model", "/nowhere"], InputError, "/nowhere: does not exist"),
    ],
)
def test_missing_run_and_model_are_rejected(
    tmp_path: Path, arguments: list[str], error: type[GristmillError], message: str
) -> None:
    with pytest.raises(error) as caught:
        cards(tmp_path, *arguments)
    assert message in str(caught.value)
    assert not (tmp_path / "cards").exists()


def test_sources_of_different_runs_are_rejected(run: Path, results: Path, tmp_path: Path) -> None:
    results_file = results / "results.json"
    text = results_file.read_text()
    sha256 = json.loads(text)["model"]["sha256"]
    results_file.write_text(text.replace(sha256, "0" * 64))
    with pytest.raises(MismatchError, match="not of the card's model"):
        cards(tmp_path, "--run", str(run), "--results", str(results_file))
    manifest_file = run / "manifest.json"
    original = manifest_file.read_text()
    manifest_file.write_text(original.replace("0" * 64, "1" * 64))
    with pytest.raises(
        MismatchError, match="shards made from corpus 000000000000…, but the run has corpus 111111111111…"
    ):
        cards(tmp_path, "--run", str(run))
    manifest_file.write_text(original.replace('"kept": 5', '"kept": 6'))
    with pytest.raises(MismatchError, match=r"5 documents, but manifest\.json says 6"):
        cards(tmp_path, "--run", str(run))
    manifest_file.write_text(original.replace('"quarantined"', '"lost"'))
    with pytest.raises(ManifestError, match="has no 'quarantined'"):
        cards(tmp_path, "--run", str(run))
    assert not (tmp_path / "cards").exists()


def test_numbers_without_source_are_rejected(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = content.data_card(str(run)) | {"invented": 42}
    monkeypatch.setattr(rendering, "TEMPLATES", tmp_path)
    for expression in (
        "{{ invented }}",
        "{{ 7 }}",
        "{{ 0.5|decimal }}",
        "{{ invented|count }}",
        "{{ true }}",
    ):
        (tmp_path / "card.md").write_text(expression)
        with pytest.raises(InputError, match="a number without a source file"):
            rendering.render("card.md", variables)
    (tmp_path / "card.md").write_text("{{ nothing }}")
    with pytest.raises(InputError, match="'nothing' is undefined"):
        rendering.render("card.md", variables)
    (tmp_path / "card.md").write_text("{{ corpus.counts.kept|count }} {{ cite() }}{{ cite() }}")
    assert rendering.render("card.md", variables) == "5 *From [1].*"


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.md")), ids=lambda path: path.name)
def test_templates_contain_no_digits(template: Path) -> None:
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", template.read_text(), flags=re.S)
    assert not re.search(r"\d", text.replace("SHA-256", ""))


def test_numbers_keep_their_source_ids() -> None:
    sources = SourceFiles()
    first, second = sources.add("a", "1"), sources.add("b", "2")
    tree = JsonNode({"n": 6, "text": "t", "flag": True, "none": None, "list": [1, {"m": 2}]}, first, "a")
    assert tree.n / Number(4, second) == Number(1.5, frozenset({1, 2}))
    assert (tree.text, tree.flag, tree.none) == ("t", True, None)
    assert list(tree.list)[1].m == Number(2, first)
    assert (
        "n" in tree
        and "x" not in tree
        and tree.get("x") is None
        and dict(tree.items())["n"] == Number(6, first)
    )
    with pytest.raises(ManifestError, match="a: has no 'x'"):
        _ = tree.x
