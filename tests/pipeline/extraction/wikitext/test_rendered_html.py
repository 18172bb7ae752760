from pipeline.extraction.wikitext.rendered_html import strip_boilerplate

PAGE = """<html><body><section data-mw-section-id="0"><table class="infobox vcard"><tr><td>Box</td></tr>
</table><div role="note" class="hatnote">For others, see Ribe (disambiguation).</div>
<p><b>Ribe</b> is a <a rel="mw:WikiLink" href="./Town">town</a>.<sup class="mw-ref reference"><a>[1]</a></sup>
<figure><img src="x.jpg"/><figcaption>Cathedral</figcaption></figure></p></section>
<section><h2 id="History">History</h2><table class="wikitable"><tr><td>1900</td></tr></table>
<div class="mw-references-wrap"><ol class="mw-references references"><li>A book.</li></ol></div>
<div class="navbox"><style>.x{}</style>Towns</div></section></body></html>"""


def test_boilerplate_is_removed_and_article_text_kept() -> None:
    html = strip_boilerplate(PAGE)
    for removed in ("Box", "disambiguation", "[1]", "Cathedral", "A book", "Towns", ".x"):
        assert removed not in html
    for kept in ("<b>Ribe</b> is a", ">town</a>.", "History", "1900"):
        assert kept in html


def test_empty_page_is_accepted() -> None:
    assert "<body" in strip_boilerplate("")
