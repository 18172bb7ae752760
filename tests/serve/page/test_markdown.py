"""The page's Markdown renderer: supported syntax, untrusted text, running time."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import send, watched_page
from tests.serve.scripted_server import ScriptedServer, scripted_server

pytestmark = pytest.mark.server

TAGS = {
    "A", "BLOCKQUOTE", "BUTTON", "CODE", "DEL", "DIV", "EM", "FIGCAPTION", "FIGURE", "H3", "H4", "H5", "H6",
    "HR", "LI", "OL", "P", "PRE", "SPAN", "STRONG", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL",
}  # fmt: skip
ATTRIBUTES = {"href", "title", "target", "rel", "start", "tabindex", "type", "class"}

RENDER = """async (texts) => {
  const { render } = await import("/static/markdown.js");
  const parent = document.createElement("div");
  for (const text of texts) render(parent, text);
  return parent.innerHTML;
}"""

SURVEY = """async (text) => {
  const { render } = await import("/static/markdown.js");
  const parent = document.createElement("div");
  render(parent, text);
  const nodes = [...parent.querySelectorAll("*")];
  const complete = parent.innerHTML;
  const parts = document.createElement("div");
  for (let end = 1; end <= text.length; end++) render(parts, text.slice(0, end));
  return {
    tags: [...new Set(nodes.map((node) => node.tagName))],
    attributes: [...new Set(nodes.flatMap((node) => [...node.attributes].map(({ name }) => name)))],
    links: nodes.filter((node) => node.href !== undefined).map(({ protocol, rel }) => [protocol, rel]),
    words: parent.textContent,
    same: parts.innerHTML === complete,
  };
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server("") as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: ScriptedServer) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened


def rendered(page: Page, *texts: str) -> str:
    markup = page.evaluate(RENDER, list(texts))
    return str(markup).replace(' target="_blank" rel="noopener noreferrer nofollow"', "")


def link(address: str, text: str) -> str:
    return f'<a href="{address}" title="{address}">{text}</a>'


FIGURE = (
    '<figure><figcaption><span>{}</span><button type="button" class="copy-code">Copy</button></figcaption>'
)
MATH = '<span class="formula">{}</span>'
DISPLAY = f'<div tabindex="0" class="display">{MATH}</div>'
TABLE = '<div tabindex="0" class="table"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
CODE = FIGURE + '<pre tabindex="0"><code>{}</code></pre></figure>'


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
        ("# A\n## B ##\n###### F\n#no", "<h3>A</h3><h4>B</h4><h6>F</h6><p>#no</p>"),
        ("**bold** and *italic* and ***both***",
         "<p><strong>bold</strong> and <em>italic</em> and <strong><em>both</em></strong></p>"),
        ("__bold__ _italic_ snake_case_name 2*3*4",
         "<p><strong>bold</strong> <em>italic</em> snake_case_name 2<em>3</em>4</p>"),
        ("**bold *and italic* in it** * alone **",
         "<p><strong>bold <em>and italic</em> in it</strong> * alone **</p>"),
        ("**never closed, *nor this", "<p>**never closed, *nor this</p>"),
        ("a `code <b>` and `` a ` tick ``", "<p>a <code>code &lt;b&gt;</code> and <code>a ` tick</code></p>"),
        ("\\*not italic\\* and \\[not a link\\](https://a.org)",
         f"<p>*not italic* and [not a link]({link('https://a.org/', 'https://a.org')})</p>"),
        ("- a\n- b\n  more\n  - inner\n    1. deep\n- c",
         "<ul><li>a</li><li>b\nmore<ul><li>inner<ol start=\"1\"><li>deep</li></ol></li></ul></li>"
         "<li>c</li></ul>"),
        ("3. c\n4. d\n- e", '<ol start="3"><li>c</li><li>d</li></ol><ul><li>e</li></ul>'),
        ("1. a\n\n2. b\n\nAfter", '<ol start="1"><li>a</li><li>b</li></ol><p>After</p>'),
        ("```py\nif x < 1:\n\n    *p*\n```\nafter",
         CODE.format("py", "if x &lt; 1:\n\n    *p*") + "<p>after</p>"),
        ("~~~\n```\n~~~~", CODE.format("", "```")),
        ("text\n```js\nunclosed **x**", "<p>text</p>" + CODE.format("js", "unclosed **x**")),
        ("1. do\n   ```sh\n   ls\n\n   - x\n   ```\n2. done",
         '<ol start="1"><li>do' + CODE.format("sh", "ls\n\n- x") + "</li><li>done</li></ol>"),
        ("1. do\n```sh\nls\n```\n2. done",
         '<ol start="1"><li>do</li></ol>' + CODE.format("sh", "ls") + '<ol start="2"><li>done</li></ol>'),
        ("- a\n\n  more\n\n  > quoted\n- [x] b\n- [ ] c",
         "<ul><li>a<p>more</p><blockquote><p>quoted</p></blockquote></li>"
         '<li class="task">☑ b</li><li class="task">☐ c</li></ul>'),
        ("[a **b**](http://x.org/y?z=1#w)",
         f"<p>{link('http://x.org/y?z=1#w', 'a <strong>b</strong>')}</p>"),
        ("([w](https://w.org/A_(b)))", f"<p>({link('https://w.org/A_(b)', 'w')})</p>"),
        ('[t](https://w.org "a title")', f"<p>{link('https://w.org/', 't')}</p>"),
        ("See https://w.org/a_b_c. Or xhttps://w.org",
         f"<p>See {link('https://w.org/a_b_c', 'https://w.org/a_b_c')}. Or xhttps://w.org</p>"),
        ("", ""),
        (" \n\t\n", ""),
        ("Text\n| a | **b** |\n|:--|:-:|\n| 1 | x \\| y | z |\n| 2\nAfter",
         "<p>Text</p>" + TABLE.format('<th>a</th><th class="center"><strong>b</strong></th>',
            '<tr><td>1</td><td class="center">x | y</td></tr><tr><td>2</td><td class="center"></td></tr>')
         + "<p>After</p>"),
        ("a|b\n-|-:\n1<br>2|3", TABLE.format('<th>a</th><th class="right">b</th>',
            '<tr><td>1\n2</td><td class="right">3</td></tr>')),
        ("a | b\nc | d\n|---|", "<p>a | b\nc | d\n|---|</p>"),
        ("> quoted **x**\n> > inner\n> - item\n\n> other",
         "<blockquote><p>quoted <strong>x</strong></p><blockquote><p>inner</p></blockquote>"
         "<ul><li>item</li></ul></blockquote><blockquote><p>other</p></blockquote>"),
        ("a\n---\n* * *\n<hr>", "<p>a</p><hr><hr><p>&lt;hr&gt;</p>"),
        ("~~gone **too**~~ ~kept~ ~~~", "<p><del>gone <strong>too</strong></del> ~kept~ ~~~</p>"),
        ("Sum $a_i * b_i$ and \\(x^*_1\\), $x$; it costs $5 and $10 or \\$3.",
         "<p>Sum " + MATH.format("a_i * b_i") + " and " + MATH.format("x^*_1") + ", " + MATH.format("x")
         + "; it costs $5 and $10 or $3.</p>"),
        ("So:\n$$\n\\frac{a_1}{b}\n= *c*\n$$\nand\n\\[ x < 1 \\]",
         "<p>So:</p>" + DISPLAY.format("\\frac{a_1}{b}\n= *c*") + "<p>and</p>" + DISPLAY.format("x &lt; 1")),
        ("$$\nnever closed\n\nnext", "<p>$$\nnever closed</p><p>next</p>"),
        ("![alt](https://a.org/i.png)", f"<p>{link('https://a.org/i.png', 'alt')}</p>"),
        ("line\r\nother\rthird", "<p>line\nother\nthird</p>"),
    ],
)  # fmt: skip
def test_supported_markdown(page: Page, text: str, markup: str) -> None:
    assert rendered(page, text) == markup
    assert rendered(page, *(text[:end] for end in range(len(text))), text) == markup


HOSTILE = [
    "<script>window.hit = 1; alert(1)</script>",
    "<img src=x onerror='window.hit = 1'><svg onload=window.hit=1>",
    "<iframe src='https://evil.test'></iframe><link rel=stylesheet href=https://evil.test/x.css>",
    "<style>body { display: none }</style><meta http-equiv=refresh content='0;url=https://evil.test'>",
    "</div></article><form action=https://evil.test><input autofocus onfocus=window.hit=1></form>",
    "[click](javascript:window.hit=1) [click](JaVaScRiPt:window.hit=1) [x]( javascript:alert(1))",
    "[x](java\tscript:alert(1)) [x](java&#10;script:alert(1)) [x](\x01javascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>) [x](vbscript:msgbox) [x](file:///etc/passwd)",
    "[x](//evil.test) [x](\\\\evil.test) [x](https:evil.test) [x](http:/evil.test)",
    "[x](https://a.org\" onmouseover=\"window.hit=1) [x](https://a.org' onclick='window.hit=1)",
    "[x](https://a.org\"onclick=window.hit=1)",
    "![image](https://evil.test/pixel.png) ![](x.png \"onerror=alert(1)\")",
    "<https://evil.test> <javascript:alert(1)>",
    "[ref]: javascript:alert(1)\n\n[ref] and [ref][ref]",
    "`` ` `` ```<script>window.hit=1</script>",
    "```html\n<script>window.hit=1</script>\n<img src=x onerror=window.hit=1>",
    "```\"><img/src=x/onerror=window.hit=1>\ncode\n```",
    "~~~<script>window.hit=1</script>\n</code></pre><script>window.hit=1</script>",
    "# <script>window.hit=1</script>\n- <img src=x onerror=window.hit=1>\n1. <svg/onload=window.hit=1>",
    "**<b onclick=window.hit=1>bold</b>** *<i onmouseover=window.hit=1>*",
    "&lt;script&gt;window.hit=1&lt;/script&gt; &#60;script&#62;",
    "<a href='javascript:window.hit=1' id=send>x</a><button id=stop>",
    "{{constructor.constructor('window.hit=1')()}} ${window.hit=1} <%= 1 %>",
    "\u202e\u2066[rtl](https://a.org)\u2069\u202c \u0000\ufffe\ud83d\ude00",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=window.hit=1></style></mglyph></math>",
    "| <img src=x onerror=window.hit=1> | [x](javascript:window.hit=1) |\n|---|---|\n"
    "| <svg/onload=window.hit=1> | $<b>$ |",
    "> <script>window.hit=1</script>\n> - <img src=x onerror=window.hit=1>",
    "$<img src=x onerror=window.hit=1>$ \\(\\href{javascript:window.hit=1}{x}\\) ~~<i onclick=alert(1)>~~",
    "$$\n<script>window.hit=1</script>\n\\url{javascript:window.hit=1}\n$$",
    "__proto__ constructor [__proto__](https://a.org) ```__proto__\nx\n```\n```constructor\n",
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'>",
]  # fmt: skip


def test_untrusted_answers_are_harmless(browser: Browser) -> None:
    with scripted_server("") as server, watched_page(browser, server.url) as page:
        for text in HOSTILE:
            page.get_by_role("button", name="New chat").click()
            server.add_answer(*(text[at : at + 3] for at in range(0, len(text), 3)))
            send(page, text)
            expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
            body = page.locator(".assistant .body")
            assert_harmless(page.evaluate(SURVEY, text))
            for element in (*body.locator("a").all(), *body.locator("p, li, h3, code, strong").all()):
                element.hover()
            assert page.evaluate("window.hit === undefined && document.title.endsWith('Gristmill')"), text
        page.reload()  # renders the stored conversations and their titles
        expect(page.get_by_role("listitem").first).to_be_visible()
        assert page.evaluate("window.hit") is None


def assert_harmless(found: dict[str, Any]) -> None:
    assert set(found["tags"]) <= TAGS
    assert set(found["attributes"]) <= ATTRIBUTES
    for protocol, rel in found["links"]:
        assert protocol in ("http:", "https:")
        assert {"noopener", "nofollow"} <= set(rel.split())


def test_links_open_in_a_new_tab_without_opener_and_referrer(browser: Browser) -> None:
    with scripted_server("") as server, watched_page(browser, server.url) as page:
        server.add_answer(f"[here]({server.url}/v1/models)")
        send(page, "Link?")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="here").click()
        assert opened.value.evaluate("[window.opener, document.referrer]") == [None, ""]


MARKS = ["*", "**", "***", "_", "__", "`", "``", "```", "~~~", "\n", "\n\n", "  ", "\t", "- ", "1. ", "# "]
MARKS += ["$", "$$", "\\(", "\\)", "\\[", "\\]", "~~", "---", "|-|", "|a|", "> ", "<br>", "- [x] "]
MARKS += ["[", "](", ")", "](https://a.org)", "https://b.org/x", "](javascript:alert(1))", "\\", ">", "|"]
OTHERS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "word",
    "é",
    "😀",
    "\0",
    "\u202e",
    '"',
    "'",
]
FRAGMENTS = st.sampled_from(MARKS + OTHERS)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FRAGMENTS | st.text(max_size=4), max_size=25).map("".join))
def test_random_text_is_harmless_and_streams_to_the_same_nodes(page: Page, text: str) -> None:
    found = page.evaluate(SURVEY, text.encode(errors="replace").decode())
    assert_harmless(found)
    assert found["same"]  # rendering prefixes in turn ends with the same nodes


@pytest.mark.parametrize(
    "text",
    [
        "*" * 50_000,
        "*a " * 30_000,
        "a* " * 30_000,
        "**a*" * 20_000,
        "_a" * 40_000,
        "`a" * 40_000,
        " ".join("`" * (number % 300) for number in range(600)),
        "[" * 50_000,
        "[a](" * 20_000,
        "[a](https://" * 8_000,
        "https://" * 10_000,
        "(" * 50_000 + "https://a.org/" + "(" * 50_000,
        "# " + "#" * 50_000 + "x",
        "# " + " " * 50_000 + "x",
        "- " * 30_000,
        "\n".join("  " * depth + "- x" for depth in range(300)),
        "\n".join(["- x", *["  y"] * 20_000]),
        "```\n" * 20_000,
        "~" * 100_000,
        "\\" * 100_000,
        "x" * 200_000,
        "` " + "x" * 100_000 + "`",
        " " * 200_000 + "x",
        "$a " * 30_000,
        "$a" * 40_000,
        "\\(" * 40_000 + "\\)",
        "$$\n" * 20_000,
        "\\[\n" * 20_000,
        "|" * 100_000,
        "\\|" * 50_000 + "\n-|-",
        "|a" * 49 + "\n" + "|-" * 49 + "\n" + "|\n" * 5_000,
        "| a\n" * 20_000 + "|-",
        "> " * 30_000,
        "\n".join("> " * depth + "x" for depth in range(300)),
        "- x\n  ```\n" * 5_000,
        "~~a" * 30_000,
        "<br" * 40_000,
    ],
    ids=range(37),
)
def test_time_is_not_quadratic_in_the_length(page: Page, text: str) -> None:
    assert any(render_seconds(page, text) < 5 for _ in range(3))  # repeated, since other processes delay it


def render_seconds(page: Page, text: str) -> float:
    started = time.monotonic()
    page.evaluate(RENDER, [text])
    return time.monotonic() - started
