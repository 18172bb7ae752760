"""``python -m pipeline.training.extractor PAGES.warc.gz GOLD.jsonl.gz [--to FOLDER]``.

Trains on all pages with gold text and writes the model's files, by default over the shipped ones. The same
pages give the same files.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from core.config import ArgumentParser
from core.errors import OutputError, run
from pipeline.training.extractor.gold import load_gold_pages
from pipeline.training.extractor.training import fit, label

MODELS = Path(str(resources.files("pipeline.extraction.html"))) / "models"
"""The folder of the model that ships with the package."""


def main(arguments: Sequence[str]) -> None:
    """Train the model and write its files."""
    parser = ArgumentParser(
        prog="python -m pipeline.training.extractor",
        description="Train the model that finds the main content of HTML pages.",
    )
    parser.add_argument("pages", metavar="PAGES", help="WARC file with the pages")
    parser.add_argument(
        "gold", metavar="GOLD", help="gzipped JSON lines with the fields url, main_content and page_type"
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=MODELS,
        metavar="FOLDER",
        help="output folder (default: the shipped model's)",
    )
    options = parser.parse_args(arguments)
    folder: Path = options.to
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder; create it first")
    labeled = [page for gold in load_gold_pages(options.pages, options.gold) if (page := label(gold))]
    fit(labeled).save(folder)
    print(
        f"{folder}: trained on {len(labeled):,} pages of {len({page.page.site for page in labeled}):,} sites"
    )


if __name__ == "__main__":
    run(main)
