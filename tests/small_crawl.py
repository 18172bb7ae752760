"""A small crawl with all input formats, duplicates, near-duplicates and damaged records."""

import bz2
import gzip
import json
import random
import uuid
from dataclasses import dataclass
from pathlib import Path

NOUNS = """
    miller farmer teacher merchant brother captain doctor painter wheel bridge letter barrel wall coat
    river valley church coast harbour village kitchen window garden forest market lantern basket carriage
    stable orchard ladder mirror blanket hammer kettle pocket candle saddle meadow tower cellar chapel
""".split()
ADJECTIVES = """
    old young narrow wooden quiet heavy bright hollow distant gentle broken famous hungry silver crooked
    patient warm forgotten dusty northern early restless plain curious faithful
""".split()
VERBS = """
    carried described repaired remembered counted painted measured followed discovered collected opened
    watched borrowed promised crossed lifted covered offered answered finished guarded polished sold
""".split()
LINKS = """
    near behind beside above below beyond before after without against around towards inside
""".split()
SHORT = (
    "The miller sold a barrel of flour to the old farmer, who went home before the rain. It had been a quiet "
    "evening in the village, and nobody expected the storm."
)
TAILS = "while until because although since whenever".split()
CONFIG = """
[dedup]
seed = 7
[tokenizer]
vocabulary_size = 600
[pack]
sequence_length = 64
validation_share = 0.2
shard_sequences = 40
[model]
num_layers = 1
hidden_size = 32
num_heads = 2
num_kv_heads = 2
[train]
steps = 4
batch_size = 4
micro_batch_size = 2
warmup_steps = 1
validate_every = 2
validation_sequences = 8
checkpoint_every = 2
"""
"""Configuration of a run on this crawl, from documents to a tiny model, in seconds."""


@dataclass(frozen=True)
class SmallCrawl:
    """The crawl's folder, and its numbers of records and of quarantined records."""

    folder: Path
    records: int
    quarantined: int

    @property
    def paths(self) -> list[str]:
        return [str(self.folder)]


def prose(seed: int, sentences: int = 12) -> str:
    """Return English paragraphs that pass the filters and differ from those of every other seed."""
    source = random.Random(seed)
    return "\n\n".join(
        " ".join(_sentence(source) for _ in range(min(4, sentences - first)))
        for first in range(0, sentences, 4)
    )


def _sentence(source: random.Random) -> str:
    one, two, three, four = source.sample(NOUNS, 4)
    link, tail = source.choice(LINKS), source.choice(TAILS)
    first, second = source.sample(ADJECTIVES, 2)
    shapes = [
        f"the {first} {one} {source.choice(VERBS)} a {two} {link} the {second} {three}",
        f"{tail} that {one} was {first}, the {two} {source.choice(VERBS)} its {three} to be {second}",
        f"with {first} {one} and {two}, they {source.choice(VERBS)} every {three} {link} a {four}",
        f"nobody of the {one} {source.choice(VERBS)} this {two} {tail} the {three} stood {link} the {four}",
    ]
    text = source.choice(shapes)
    return f"{text[0].upper()}{text[1:]}."


def page(text: str, title: str = "A page") -> bytes:
    """Return an HTML page with a menu around the text."""
    paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n\n"))
    menu = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/about'>About us</a></li></ul></nav>"
    return (
        f"<!doctype html><html><head><title>{title}</title></head><body>{menu}"
        f"<main><article><h1>{title}</h1>{paragraphs}</article></main></body></html>"
    ).encode()


def build(folder: Path) -> SmallCrawl:
    """Write the crawl, deterministically."""
    folder.mkdir(parents=True)
    near = prose(3, 60)
    pages = [page(prose(seed)) for seed in range(20)]
    pages += [
        pages[0],
        page(near),
        page(near.replace(" the ", " one ", 1)),
        page(SHORT),
    ]
    written = _write_warc(folder / "first.warc.gz", pages[:12], compressed=True)
    written += _write_warc(folder / "second.warc", pages[12:], compressed=False, skipped=True)
    damaged = gzip.compress(b"WARC/1.0\r\nWARC-Type: response\r\n")[:-12]
    (folder / "third.warc.gz").write_bytes(gzip.compress(_records([page(prose(99))])[0], mtime=0) + damaged)
    (folder / "dump.xml.bz2").write_bytes(bz2.compress(_dump().encode()))
    (folder / "book.txt").write_text(f"THE MILL\n\n{prose(500, 80)}\n", encoding="utf-8")
    lines = [json.dumps({"text": prose(600 + n), "url": f"https://example.org/{n}"}) for n in range(4)]
    (folder / "more.jsonl").write_text("\n".join([*lines, '{"text": ']) + "\n", encoding="utf-8")
    return SmallCrawl(folder, records=written + 1 + 1 + 4 + 1 + 5, quarantined=2)


def _write_warc(path: Path, pages: list[bytes], *, compressed: bool, skipped: bool = False) -> int:
    records = _records(pages, skipped=skipped)
    path.write_bytes(b"".join(gzip.compress(record, mtime=0) if compressed else record for record in records))
    return len(records)


def _records(pages: list[bytes], *, skipped: bool = False) -> list[bytes]:
    """Return WARC records of responses; ``skipped`` adds an error page, an image and a request."""
    responses = [(body, "200 OK", "text/html; charset=utf-8") for body in pages]
    if skipped:
        responses += [(b"<p>gone</p>", "404 Not Found", "text/html"), (b"\x89PNG", "200 OK", "image/png")]
    records = [
        _record("response", f"https://example.com/{len(body)}/{index}", f"HTTP/1.1 {status}", media, body)
        for index, (body, status, media) in enumerate(responses)
    ]
    if skipped:
        records.append(_record("request", "https://example.com/", "GET / HTTP/1.1", "text/html", b""))
    return records


def _record(kind: str, url: str, first_line: str, media: str, body: bytes) -> bytes:
    block = f"{first_line}\r\nContent-Type: {media}\r\n\r\n".encode() + body
    header = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-02T03:04:05Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, kind + url)}>\r\n"
        f"Content-Type: application/http; msgtype={kind}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def _dump() -> str:
    pages = [
        _wiki_page(1, 0, "Mill", prose(700) + "\n\n== History ==\n" + prose(701)),
        _wiki_page(2, 0, "Bridge", "'''Bridge''' {{Infobox|a=b}} " + prose(702)),
        _wiki_page(3, 1, "Talk:Mill", prose(703)),
        _wiki_page(4, 0, "Mills", "#REDIRECT [[Mill]]", redirect="Mill"),
    ]
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en"><siteinfo>'
        "<sitename>Wikipedia</sitename><dbname>enwiki</dbname>"
        "<base>https://en.wikipedia.org/wiki/Main_Page</base>"
        '<namespaces><namespace key="0" /><namespace key="1">Talk</namespace></namespaces>'
        f"</siteinfo>{''.join(pages)}</mediawiki>"
    )


def _wiki_page(number: int, namespace: int, title: str, text: str, redirect: str = "") -> str:
    target = f'<redirect title="{redirect}" />' if redirect else ""
    return (
        f"<page><title>{title}</title><ns>{namespace}</ns><id>{number}</id>{target}<revision><id>{number}</id>"
        f"<timestamp>2026-01-02T03:04:05Z</timestamp><text>{text}</text></revision></page>"
    )
