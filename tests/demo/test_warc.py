"""Re-packed WARC files, read back by another implementation."""

import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from demo import warc
from demo.warc import Page

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAGES = st.lists(
    st.builds(
        Page,
        url=st.from_regex(r"https://example\.com/[a-z0-9/%]{0,20}", fullmatch=True),
        content_type=st.sampled_from(["text/html", "text/html; charset=utf-8", "text/plain"]),
        body=st.binary(max_size=200),
    ),
    max_size=5,
)


@settings(max_examples=25)
@given(PAGES)
def test_pages_are_read_back_unchanged(pages: list[Page]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        counts = warc.write(Path(folder), "pages", "a test", WHEN, pages)
        assert sum(counts) == len(pages)
        assert _read(Path(folder)) == pages


def test_output_is_reproducible(tmp_path: Path) -> None:
    pages = [Page("https://example.com/", "text/html", b"<p>one</p>")]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        warc.write(tmp_path / name, "pages", "a test", WHEN, pages)
    first, second = (tmp_path / name / "pages-00000.warc.gz" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_full_file_is_followed_by_another(tmp_path: Path) -> None:
    size = warc.FILE_BYTES // 2
    noise = [Page(f"https://example.com/{n}", "text/html", _noise(n, size)) for n in range(5)]
    assert warc.write(tmp_path, "pages", "a test", WHEN, noise) == [2, 2, 1]
    assert _read(tmp_path) == noise


def _noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def _read(folder: Path) -> list[Page]:
    found = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                if record.rec_type == "response":
                    assert record.rec_headers.get_header("WARC-Date") == "2026-01-02T03:04:05Z"
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    media = record.http_headers.get_header("Content-Type")
                    found.append(Page(url, media, record.content_stream().read()))
    return found
