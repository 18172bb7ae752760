from pipeline.extraction.wikitext.rendered_html import without_furniture

PAGE = """<html><body><section data-mw-section-id="0"><table class="infobox vcard"><tr><td>Box</td></tr>
</table><div role="note" class="hatnote">For others, see Ribe (disambiguation).</div>
<p><b>Ribe</b> is a <a rel="mw:WikiLink" href="./Town">town</a>.<sup class="mw-ref reference"><a>[1]</a></sup>
<figure><img src="x.jpg"/><figcaption>Cathedral</figcaption></figure></p></section>
<section><h2 id="History">History</h2><table class="wikitable"><tr><td>1900</td></tr></table>
<div class="mw-references-wrap"><ol class="mw-references references"><li>A book.</li></ol></div>
<div class="navbox"><style>.x{}</style>Towns</div></section></body></html>"""


def test_what_is_no_text_of_the_article_goes() -> None:
    html = without_furniture(PAGE)
    for gone in ("Box", "disambiguation", "[1]", "Cathedral", "A book", "Towns", ".x"):
        assert gone not in html
    for kept in ("<b>Ribe</b> is a", ">town</a>.", "History", "1900"):
        assert kept in html


def test_nothing_is_no_harm() -> None:
    assert "<body" in without_furniture("")
