"""The page of a run: bounded, offline, with texts that stay texts, on a desktop and a phone."""

import json
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from core.errors import InputError
from tests.serve.browser import chromium, watched_page
from train import page
from train.reporting.history import MAX_VALIDATIONS

HOSTILE = "</blockquote><script>alert(1)</script><img src=https://example.org/x.png> " + "unbroken" * 40
SKIPPED = {"train/skipped": "the loss is 90, above 4.2", "train/loss": 90.0, "train/grad_norm": 1e9}


def _metrics(step: int) -> dict[str, Any]:
    values = {
        f"train/{name}{of}": 2 + 5 / step
        for name in ("loss", "bpb", "perplexity")
        for of in ("", "/web", "/wiki")
    }
    if step % 10 == 0:
        values |= {name.replace("train", "val"): value for name, value in values.items()}
    values |= {"train/lr": 1e-3, "train/grad_norm": 0.5, "perf/tok_per_sec": 1e4, "perf/data_wait": 0.0}
    return {"step": step, **values, **(SKIPPED if step == 50 else {})}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a run of 3000 steps, of which one was skipped."""
    output = tmp_path_factory.mktemp("run")
    training = output / "training"
    (training / "skipped").mkdir(parents=True)
    lines = [json.dumps(_metrics(step)) for step in range(1, 3001)]
    (training / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    samples = [json.dumps({"step": step, "prompt": HOSTILE, "text": HOSTILE}) for step in range(10, 3001, 10)]
    (training / "samples.jsonl").write_text("\n".join(samples) + "\n")
    rows = [
        {"source": "wiki", "row": row, "loss": loss, "targets": 9, "documents": [f"{row:032}"]}
        for row, loss in enumerate([3.0, 90.0, None, 4.0, 5.0, 6.0])
    ]
    (training / "skipped" / "step-00000050.json").write_text(json.dumps({"step": 50, "rows": rows}))
    page.main(["--set", f"output.path={output}"])
    return training


@pytest.fixture(scope="module")
def parsed(folder: Path) -> LexborHTMLParser:
    return LexborHTMLParser((folder / "training.html").read_text())


def test_size_does_not_grow_with_steps(folder: Path) -> None:
    assert (folder / "metrics.jsonl").stat().st_size > 1_000_000
    assert (folder / "training.html").stat().st_size < 200_000


def test_texts_never_become_markup(parsed: LexborHTMLParser) -> None:
    assert parsed.css("script, img, iframe, object") == []
    assert {node.text() for node in parsed.css("blockquote")} == {HOSTILE}
    assert len(parsed.css("blockquote")) <= MAX_VALIDATIONS
    assert parsed.css_first(".sample .value").text() == "step 3,000"


def test_charts_show_each_source(parsed: LexborHTMLParser) -> None:
    titles = [node.text() for node in parsed.css(".curves h3")]
    assert titles == [
        *("Training loss", "Validation loss", "Bits per byte", "Perplexity"),
        *("Learning rate", "Gradient norm", "Throughput", "Data wait"),
    ]
    legends = [[item.text() for item in node.css("li")] for node in parsed.css(".legend")]
    assert legends[1] == ["all 2.002", "web 2.002", "wiki 2.002"]


def test_skipped_steps_are_marked_and_do_not_bend_the_curves(parsed: LexborHTMLParser) -> None:
    assert [node.text() for node in parsed.css("line.threshold title")] == ["step 50"]
    assert "90" not in [node.text() for node in parsed.css(".curves .card:first-child text")]
    event = parsed.css_first(".event")
    assert event.css_first("h3").text() == "Step 50: the loss is 90, above 4.2"
    losses = [row.css("td")[1].text() for row in event.css("tbody tr")]
    assert losses == ["not finite", "90", "6", "5", "4"]
    assert event.css_first("a").attributes["href"] == "skipped/step-00000050.json"


def test_internal_links_have_targets(parsed: LexborHTMLParser) -> None:
    names = {node.attributes["id"] for node in parsed.css("[id]")}
    links = {link.attributes["href"] for link in parsed.css("a")} - {"skipped/step-00000050.json"}
    assert {link.removeprefix("#") for link in links} <= names


def test_page_fits_a_phone(folder: Path) -> None:
    with chromium() as browser:
        for scheme in ("light", "dark"):
            options = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
            with watched_page(browser, (folder / "training.html").as_uri(), **options) as shown:
                shown.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
                assert shown.evaluate("document.documentElement.scrollWidth") == 390
                assert shown.locator(".curves svg").count() == 8


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no metrics.jsonl of a run; train first"):
        page.main(["--set", f"output.path={tmp_path}"])


def test_runs_of_earlier_versions_have_a_page(tmp_path: Path) -> None:
    training = tmp_path / "training"
    training.mkdir()
    (training / "metrics.jsonl").write_text('{"step": 1, "train/loss": 2.5}\n')
    page.main(["--set", f"output.path={tmp_path}"])
    assert "2.500" in (training / "training.html").read_text()
