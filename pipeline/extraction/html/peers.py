"""HTML to its main content by other projects' extractors, as they come."""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipeline.extraction.html.nesting import too_deep
from pipeline.ledger import Drop


def resiliparse(html: str, _url: str) -> tuple[str, str] | Drop:
    """A page's main text and title by Resiliparse (Bevendorff et al., ECIR 2018).

    Paragraphs, headings, list items, table rows and lines of code are lines of their own. Link targets,
    alternative texts, form fields and hidden elements are left out.
    """
    if drop := too_deep(html):
        return drop
    tree = HTMLTree.parse(html)
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
    """A page's main text and title by trafilatura (Barbaresi, ACL 2021), with its own defaults.

    These are: its fallbacks on, tables in, links and images out, nothing deduplicated. Readers' comments,
    which it would add to the article, are left out.
    """
    # Loads half a second's worth of libraries, which other methods do not need.
    from trafilatura import extract, load_html

    tree = load_html(html)
    if tree is None:
        return "", ""
    return extract(tree, include_comments=False) or "", tree.findtext(".//title") or ""
