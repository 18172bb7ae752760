"""The text of all blocks of a page."""

from pipeline.extraction.html.rendering import render
from pipeline.extraction.html.segmentation import parse_blocks
from pipeline.extraction.normalization import normalize


def render_all(html: str) -> str:
    """Return the whole text of a page as it would be published if all of it was main content."""
    blocks = parse_blocks(html)
    return normalize(render(blocks, range(len(blocks.texts))))
