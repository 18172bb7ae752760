from typing import Any

import numpy as np
import pytest

from core.config import TokenizerConfig
from core.shards.breaks import PARAGRAPH, SENTENCE, TextBreaks
from core.tokenizer import train

MARKED = 'It stands.| It grinds 3.14 tons!\n¶A miller (old.)~ sings.| "So it is."~ He…+ turns？+是。+水车转动'
"""A text with its breaks: ¶ ends a paragraph, | a sentence, + one that other tokens than characters may hide,
~ one whose last token may be a quote alone."""
TEXT = "".join(each for each in MARKED if each not in "|~+¶")


@pytest.mark.parametrize("kind", ["bpe", "unigram", "byte-bpe", "char"])
def test_breaks_are_where_sentences_and_paragraphs_end(kind: Any) -> None:
    texts = [TEXT, *(f"The mill grinds {number} tons. A wheel turns." for number in range(200))]
    tokenizer = train(iter(texts), TokenizerConfig(kind=kind, vocabulary_size=315))
    tokens = tokenizer.encode_array(TEXT).astype(np.uint16)
    found = TextBreaks(tokenizer).before(tokens)
    assert len(found) == len(tokens) and found[0] == 0
    sentences, paragraphs = (
        {tokenizer.decode(tokens[:place]) for place in np.flatnonzero(found == level).tolist()}
        for level in (SENTENCE, PARAGRAPH)
    )
    assert paragraphs == _before("¶")
    assert _before("|+" if kind == "char" else "|") <= sentences <= _before("|+~")


def _before(marks: str) -> set[str]:
    """Return the text before each place with one of the marks."""
    places = [place for place, each in enumerate(MARKED) if each in marks]
    return {"".join(each for each in MARKED[:place] if each not in "|~+¶") for place in places}
