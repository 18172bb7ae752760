import pytest

from tests.pipeline.extraction.html.rendered import render_all

PLAIN = "<math><mi>c</mi><mo>=</mo><mn>3</mn></math>"
TEX = (
    "<math><semantics><mrow><mi>c</mi><mo>=</mo><mn>3</mn></mrow>"
    '<annotation-xml encoding="MathML-Content"><ci>c</ci></annotation-xml>'
    '<annotation encoding="application/x-tex">c=3</annotation></semantics></math>'
)
WIKI = "mwe-math-fallback-image-inline"
ASSISTIVE = f"<span class=MJX_Assistive_MathML>{PLAIN}</span>"
MATHJAX = f"<span class=MathJax><nobr aria-hidden=true>c=3</nobr>{ASSISTIVE}</span>"
SOURCE = "<script type=math/tex>c=3</script>"

INLINE = {
    "annotation": TEX,
    "alttext": "<math alttext='c=3'><mi>c</mi></math>",
    "prefixed": "<m:math><m:semantics><m:annotation encoding=TeX>c=3</m:annotation></m:semantics></m:math>",
    "KaTeX": f"<span class=katex><span class=katex-mathml>{TEX}</span>"
    "<span class=katex-html aria-hidden=true><span>c</span><span>=3</span></span></span>",
    "KaTeX, hidden MathML": f"<span class=katex><span class=katex-mathml style=display:none>{TEX}</span>"
    "<span class=katex-html aria-hidden=true>c=3</span></span>",
    "MathJax 2": f"<span class=MathJax_Preview>c=3</span>{MATHJAX}{SOURCE}",
    "MathJax 2, not rendered": SOURCE,
    "MathJax 3": f"<mjx-container class=MathJax><mjx-math aria-hidden=true>c=3</mjx-math>"
    f"<mjx-assistive-mml>{TEX}</mjx-assistive-mml></mjx-container>",
    "MathJax 4": "<mjx-container><mjx-math aria-hidden=true></mjx-math><mjx-assistive-mml>"
    "<math data-latex='c=3'><mi>c</mi></math></mjx-assistive-mml></mjx-container>",
    "MediaWiki": "<span class=mwe-math-element><span class=mwe-math-mathml-inline style=display:none>"
    f"<math alttext='{{\\displaystyle c=3}}'><mi>c</mi></math></span><img class={WIKI} aria-hidden=true "
    "alt='{\\displaystyle c=3}'></span>",
    "MediaWiki, image": f"<img class={WIKI} aria-hidden=true alt='{{\\displaystyle c=3}}'>",
    "WordPress": "<img class=latex alt='c=3' src='https://s0.wp.com/latex.php?latex=c%3D3'>",
    "drawing service": "<img src='https://latex.codecogs.com/svg.latex?c%3D3&x=1'>",
    "LaTeX2HTML": "<img alt='$c=3$' src=img1.png>",
    "Pandoc": "<span class='math inline'>c=3</span>",
    "GitLab": "<code class='code math js-render-math' data-math-style=inline>c=3</code>",
    "Distill": "<d-math>c=3</d-math>",
    "delimited": "<script type=math/tex>\\(c=3\\)</script>",
    "commented": "<script type=math/tex>\n c=3% c\n </script>",
    "text": "$c=3$",
}
READABLE = {
    PLAIN: "c = 3",
    f"<span class=MathJax><nobr aria-hidden=true>c=3</nobr>{PLAIN}</span>": "c = 3",
    f"<script type=math/mml>{PLAIN}</script>": "c = 3",
    "<span class=katex><span class=katex-html aria-hidden=true>c=3</span></span>": "c=3",
    r"\(c=3\)": r"\(c=3\)",
    "<img alt='A photo' src=a.jpg>": "",
    "<img class=emoji alt='🙂' src=a.svg>": "🙂",
    "<math><mi>m</mi><msup><mi>v</mi><mn>2</mn></msup><mo>/</mo><mn>2</mn></math>": "mv^2/2",
    "<math><mn>1</mn><mo>×</mo><msup><mn>10</mn><mrow><mo>-</mo><mn>4</mn></mrow></msup></math>": "1 × 10^-4",
    "<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math>": "(a + b)/2",
    "<math><msqrt><mi>x</mi></msqrt><mo>+</mo><mroot><mi>y</mi><mn>3</mn></mroot></math>": "√x + y^(1/3)",
    "<math><munder><mo>∑</mo><mi>i</mi></munder><msub><mi>x</mi><mi>i</mi></msub></math>": "∑_i x_i",
    "<math><mover><mi>x</mi><mo>¯</mo></mover><mphantom><mi>y</mi></mphantom></math>": "x̄",
    "<math><mfenced><mi>a</mi><mi>b</mi></mfenced></math>": "(a, b)",
    "<math><mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable></math>": "1, 2",
    "<math><mi>sin</mi><mo>\u2061</mo><mi>x</mi><mtext>if</mtext><mi>y</mi></math>": "sin x if y",
    "<math><mi>x</mi><mo>=</mo><mo>−</mo><mn>1</mn></math>": "x = −1",
}


@pytest.mark.parametrize("name", INLINE)
def test_a_formula_is_kept_once_with_its_source(name: str) -> None:
    assert render_all(f"<p>Let {INLINE[name]} hold.</p>") == "Let $c=3$ hold."
    assert render_all(f"<table><tr><td>a</td><td>{INLINE[name]}</td></tr></table>") == "a | $c=3$"


@pytest.mark.parametrize("html", READABLE)
def test_a_formula_without_source_is_readable(html: str) -> None:
    assert render_all(f"<p>Let {html} hold.</p>") == f"Let {READABLE[html]} hold.".replace("  ", " ")


@pytest.mark.parametrize(
    "html",
    [
        TEX.replace("<math>", "<math display=block>"),
        SOURCE.replace("math/tex", "'math/tex; mode=display'"),
        f"<mjx-container display=true>{TEX}</mjx-container>",
        "<span class='math display'>c=3</span>",
    ],
)
def test_a_displayed_formula_is_on_a_line_of_its_own(html: str) -> None:
    assert render_all(f"<p>Let {html} hold.</p>") == "Let\n$c=3$\nhold."
