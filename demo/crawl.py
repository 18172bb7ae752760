"""The sample crawl: real text from pinned packages, in the layout of a crawl.

::

    FOLDER/warc/   WARC files: pywb's as crawled; two versions of a manual, introductions of encyclopedia
                   articles in three languages and pages in many encodings, re-packed
    FOLDER/wiki/   a Wikipedia dump, unchanged
    FOLDER/books/  plain-text books
    FOLDER/manifest.json

Re-packed: text and markup are original, HTTP and WARC headers are generated.
"""

import html
import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from core import manifest
from core.manifest import Manifest
from core.stage import Stage
from demo import packages, warc
from demo.packages import Package

LAYOUT = 1
"""Version of the layout; increase it when the same packages would be laid out differently."""

MEDIA_TYPES = {".html": "text/html", ".xml": "text/html"}
"""Media type by file ending, otherwise plain text. Feeds are declared as HTML, as many servers do."""


def build(folder: str) -> Manifest:
    """Build the crawl in ``folder`` unless it exists; an interrupted build starts over.

    Raises :class:`core.errors.OutputError` if the folder holds anything else, and
    :class:`core.errors.InputError` if a package cannot be downloaded.
    """
    stage = Stage(
        "crawl",
        folder,
        manifest.fingerprint("crawl", {"layout": LAYOUT, "packages": _pinned()}, []),
        inputs=[package.file for package in packages.table().values()],
        remedy="remove it with make clean-demo",
        done_message=f"  {folder}: already built",
    )
    with stage.claim() as found:
        if found:
            return found
        for below in ("warc", "wiki", "books"):
            Path(folder, below).mkdir()
        rows: dict[str, int] = {}
        for package in packages.table().values():
            archive = packages.fetch(package)
            added = _lay_out(package, archive, Path(folder))
            print(f"  {package.project} {package.version}: {_summary(package, added)}")
            rows |= added
        return _publish(stage, rows)


def _pinned() -> object:
    """Return the table of packages as JSON values, for the fingerprint."""
    return json.loads(json.dumps(tomllib.loads(packages.TABLE.read_text(encoding="utf-8")), default=str))


def _lay_out(package: Package, archive: Path, folder: Path) -> dict[str, int]:
    """Add a package to the crawl; return its files below ``folder`` with their numbers of re-packed pages."""
    match package.name:
        case "pywb":
            return _copy(package, archive, folder, "warc")
        case "wikipedia":
            return _copy(package, archive, folder, "wiki")
        case "books":
            return _copy(package, archive, folder, "books")
    fetched_at = datetime.combine(package.date, time(), UTC)
    description = f"data of {package.project} {package.version}, re-packed; HTTP headers re-made"
    counts = warc.write(folder / "warc", package.name, description, fetched_at, _pages(package, archive))
    return {f"warc/{package.name}-{number:05d}.warc.gz": count for number, count in enumerate(counts)}


def _copy(package: Package, archive: Path, folder: Path, below: str) -> dict[str, int]:
    """Write the package's members unchanged."""
    written = {}
    for name, content in packages.members(package, archive):
        file = f"{below}/{PurePosixPath(name).name}"
        (folder / file).write_bytes(content)
        written[file] = 0
    return written


def _pages(package: Package, archive: Path) -> Iterator[warc.Page]:
    """Yield a package's members as web pages."""
    for name, content in packages.members(package, archive):
        match package.name:
            case "manual-14" | "manual-20":
                yield _manual_page(package.name.removeprefix("manual-"), name, content)
            case "introductions":
                yield from _introductions(name, content)
            case "encodings":
                yield _undeclared_encoding(name, content)


def _manual_page(version: str, name: str, content: bytes) -> warc.Page:
    """Return a page of the SQLAlchemy manual under its address on the web."""
    path = quote(name.partition("/doc/")[2])
    return warc.Page(f"https://docs.sqlalchemy.org/en/{version}/{path}", "text/html; charset=utf-8", content)


def _introductions(name: str, content: bytes) -> Iterator[warc.Page]:
    """Yield the introductions of one language from JSON with the title and text of each article."""
    language = PurePosixPath(name).stem.removeprefix("summaries_").partition("-")[0]
    for article in json.loads(content).values():
        title, text = html.escape(article["title"]), html.escape(article["extract"])
        head = f'<head><meta charset="utf-8"><title>{title}</title></head>'
        body = f"<body><main>\n<h1>{title}</h1>\n<p>{text}</p>\n</main></body>"
        page = f'<!DOCTYPE html>\n<html lang="{language}">\n{head}\n{body}\n</html>\n'
        path = quote(article["title"].replace(" ", "_"))
        url = f"https://{language}.wikipedia.org/wiki/{path}"
        yield warc.Page(url, "text/html; charset=utf-8", page.encode())


def _undeclared_encoding(name: str, content: bytes) -> warc.Page:
    """Return a page whose HTTP header declares no encoding, so that the reader has to detect it."""
    path = PurePosixPath(name)
    url = f"https://encodings.example/{quote('/'.join(path.parts[-2:]))}"
    return warc.Page(url, MEDIA_TYPES.get(path.suffix, "text/plain"), content)


def _publish(stage: Stage, rows: dict[str, int]) -> Manifest:
    """Write the manifest. Files that were copied unchanged have 0 rows: their records are not counted."""
    files = [manifest.file_entry(stage.folder, file, rows[file]) for file in sorted(rows)]
    counts = {
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "pages_repacked": sum(rows.values()),
    }
    return stage.publish(counts, files)


def _summary(package: Package, added: dict[str, int]) -> str:
    pages, files = sum(added.values()), f"{len(added)} file{'s' * (len(added) > 1)}"
    what = f"{pages:,} pages re-packed into {files}" if pages else f"{files} as found"
    return f"{what} (text: {package.licence})"
