"""A small crawl with everything in it: pages, copies and near copies, a dump, a book, JSON lines, damage."""

import bz2
import gzip
import json
import random
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

SUBJECTS = "the miller|an old farmer|the young teacher|a travelling merchant|her brother|the harbour master"
VERBS = "carried|described|repaired|remembered|counted|painted|measured|followed|discovered|collected"
OBJECTS = (
    "the wooden wheel|a narrow bridge|letters from the city|barrels of flour|the stone wall|a winter coat"
)
PLACES = "in the valley|near the river|behind the church|along the coast|before the storm|after the harvest"
TIMES = "that morning|every autumn|for many years|at the end of the day|without much trouble|with great care"


@dataclass(frozen=True)
class SmallCrawl:
    """Where it lies, and how many records of each kind are in it."""

    folder: Path
    records: int
    quarantined: int

    @property
    def paths(self) -> list[str]:
        return [str(self.folder)]


def prose(seed: int, sentences: int = 12, *, number: bool = True) -> str:
    """Plain English paragraphs that pass the filters and resemble no other seed's."""
    source = random.Random(seed)
    lists = [part.split("|") for part in (SUBJECTS, VERBS, OBJECTS, PLACES, TIMES)]
    lines = []
    for count in range(sentences):
        words = " ".join(source.choice(part) for part in lists)
        tag = f" and it was noted as entry {source.randrange(10**6)} of that year" if number else ""
        lines.append(f"{words[0].upper()}{words[1:]}{tag}." + ("\n\n" if count % 4 == 3 else " "))
    return "".join(lines).strip()


def page(text: str, title: str = "A page") -> bytes:
    paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n\n"))
    menu = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/about'>About us</a></li></ul></nav>"
    return (
        f"<!doctype html><html><head><title>{title}</title></head><body>{menu}"
        f"<main><article><h1>{title}</h1>{paragraphs}</article></main></body></html>"
    ).encode()


def build(folder: Path) -> SmallCrawl:
    """Write the crawl; the same bytes every time."""
    folder.mkdir(parents=True)
    near = prose(3, 60)
    pages = [page(prose(seed)) for seed in range(20)]
    pages += [pages[0], page(near), page(near.replace("wooden", "iron", 1)), page("Too short.")]
    written = _write_warc(folder / "first.warc.gz", pages[:12], compressed=True)
    written += _write_warc(folder / "second.warc", pages[12:], compressed=False, odd=True)
    damaged = gzip.compress(b"WARC/1.0\r\nWARC-Type: response\r\n")[:-12]
    (folder / "third.warc.gz").write_bytes(_warc([page(prose(99))], compressed=True)[0] + damaged)
    (folder / "dump.xml.bz2").write_bytes(bz2.compress(_dump().encode()))
    (folder / "book.txt").write_text(f"THE MILL\n\n{prose(500, 80)}\n", encoding="utf-8")
    lines = [json.dumps({"text": prose(600 + n), "url": f"https://example.org/{n}"}) for n in range(4)]
    (folder / "more.jsonl").write_text("\n".join([*lines, '{"text": ']) + "\n", encoding="utf-8")
    return SmallCrawl(folder, records=written + 1 + 1 + 4 + 1 + 5, quarantined=2)


def _write_warc(path: Path, pages: list[bytes], *, compressed: bool, odd: bool = False) -> int:
    data, count = _warc(pages, compressed=compressed, odd=odd)
    path.write_bytes(data)
    return count


def _warc(pages: list[bytes], *, compressed: bool, odd: bool = False) -> tuple[bytes, int]:
    """A WARC file of responses; ``odd`` adds a request, an error page and a picture. Its bytes and records."""
    stream = BytesIO()
    writer = WARCWriter(stream, gzip=compressed)
    responses = [(body, "200 OK", "text/html; charset=utf-8") for body in pages]
    if odd:
        responses += [(b"<p>gone</p>", "404 Not Found", "text/html"), (b"\x89PNG", "200 OK", "image/png")]
    for index, (body, status, media) in enumerate(responses):
        url = f"https://example.com/{len(body)}/{index}"
        headers = StatusAndHeaders(status, [("Content-Type", media)], protocol="HTTP/1.1")
        fixed = {
            "WARC-Date": "2026-01-02T03:04:05Z",
            "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{index:012}>",
        }
        writer.write_record(
            writer.create_warc_record(
                url, "response", BytesIO(body), http_headers=headers, warc_headers_dict=fixed
            )
        )
    if odd:
        asked = StatusAndHeaders("GET / HTTP/1.1", [("Host", "example.com")], is_http_request=True)
        writer.write_record(
            writer.create_warc_record(
                "https://example.com/", "request", http_headers=asked, warc_headers_dict=fixed
            )
        )
    return stream.getvalue(), len(responses) + odd


def _dump() -> str:
    pages = [
        _wiki_page(1, 0, "Mill", prose(700) + "\n\n== History ==\n" + prose(701)),
        _wiki_page(2, 0, "Bridge", "'''Bridge''' {{Infobox|a=b}} " + prose(702)),
        _wiki_page(3, 1, "Talk:Mill", prose(703)),
        _wiki_page(4, 0, "Mills", "#REDIRECT [[Mill]]", redirect="Mill"),
    ]
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en"><siteinfo>'
        "<sitename>Wikipedia</sitename><dbname>enwiki</dbname><base>https://en.wikipedia.org/wiki/Main_Page</base>"
        '<namespaces><namespace key="0" case="first-letter" /><namespace key="1">Talk</namespace></namespaces>'
        f"</siteinfo>{''.join(pages)}</mediawiki>"
    )


def _wiki_page(number: int, namespace: int, title: str, text: str, redirect: str = "") -> str:
    target = f'<redirect title="{redirect}" />' if redirect else ""
    return (
        f"<page><title>{title}</title><ns>{namespace}</ns><id>{number}</id>{target}<revision><id>{number}</id>"
        f"<timestamp>2026-01-02T03:04:05Z</timestamp><text>{text}</text></revision></page>"
    )
