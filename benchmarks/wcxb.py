"""Pages of an extraction benchmark: a WARC file; JSON lines with ``url``, ``main_content``, ``page_type``."""

import gzip
import json
from collections import Counter
from dataclasses import dataclass

import tldextract

from core import storage
from pipeline.extraction import decoded
from pipeline.extraction.html.alignment import words
from pipeline.extraction.html.training import Page
from pipeline.readers import read
from pipeline.readers.record import InputSplit, Record

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A page, its gold text, and what kind of page it is said to be."""

    page: Page
    kind: str


def load(pages: str, gold: str) -> list[Example]:
    """The pages that have gold text, in the order of the WARC file."""
    domain = tldextract.TLDExtract(suffix_list_urls=())
    with gzip.open(gold, "rt", encoding="utf-8") as lines:
        entries = {entry["url"]: entry for entry in map(json.loads, lines) if entry["url"]}
    examples = []
    for item in read(InputSplit(pages, "", "warc", "", 0, storage.file_info(pages).size)):
        if isinstance(item, Record) and (entry := entries.get(item.url)):
            html = decoded(item.body, item.charset)
            site = domain(item.url).top_domain_under_public_suffix or item.url
            examples.append(
                Example(Page(html, item.url, site, entry["main_content"] or ""), entry["page_type"])
            )
    return examples


def fold_of(examples: list[Example]) -> list[int]:
    """A fold for each page: all pages of a site in one, and the folds about equally large."""
    sizes = Counter(example.page.site for example in examples)
    held = [0] * FOLDS
    folds = {}
    for site, size in sorted(sizes.items(), key=lambda entry: (-entry[1], entry[0])):
        folds[site] = smallest = held.index(min(held))
        held[smallest] += size
    return [folds[example.page.site] for example in examples]


def score(found: str, gold: str) -> tuple[float, float, float]:
    """F1, precision and recall of bags of words; 1 where there is nothing and nothing was found."""
    have, want = Counter(words(found)), Counter(words(gold))
    if not have and not want:
        return 1.0, 1.0, 1.0
    both = (have & want).total()
    if not both:
        return 0.0, 0.0, 0.0
    return 2 * both / (have.total() + want.total()), both / have.total(), both / want.total()
