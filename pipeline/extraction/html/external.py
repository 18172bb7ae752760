"""Main content by the extractors of other projects, with their own defaults."""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipeline.extraction.html.limits import check_nesting, limit_attributes
from pipeline.ledger import Drop


def resiliparse(html: str, _url: str) -> tuple[str, str] | Drop:
    """Return a page's main text and title by Resiliparse (Bevendorff et al., ECIR 2018).

    Paragraphs, headings, list items, table rows and lines of code are on separate lines. Link targets,
    alternative texts, form fields and hidden elements are omitted.
    """
    if drop := check_nesting(html.encode("utf-8", "ignore")):
        return drop
    tree = HTMLTree.parse(limit_attributes(html))
    text = extract_plain_text(
        tree,
        preserve_formatting=True,
        main_content=True,
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
    )
    return text, tree.title or ""


def trafilatura(html: str, _url: str) -> tuple[str, str]:
    """Return a page's main text and title by trafilatura (Barbaresi, ACL 2021), with its own defaults.

    The defaults: fallbacks on, tables included, links and images excluded, no deduplication. Reader comments,
    which trafilatura would append to the article, are excluded.
    """
    # Imported here because loading takes half a second, which the other methods need not spend.
    from trafilatura import extract, load_html

    tree = load_html(limit_attributes(html))
    if tree is None:
        return "", ""
    return extract(tree, include_comments=False) or "", tree.findtext(".//title") or ""
