import numpy as np
import pytest

from core.config import TokenizerConfig
from core.shards.breaks import PARAGRAPH, SENTENCE, TextBreaks
from core.tokenizer import Tokenizer, train

MARKED = 'The mill stands.| It grinds 3.14 tons!\n¶A miller (old.)~ sings.| "So it is."~ He…| turns？|是。|水车转动'
"""A text with its breaks: ¶ ends a paragraph, | a sentence, ~ a sentence whose last token may be a quote only."""
TEXT = "".join(each for each in MARKED if each not in "|~¶")


@pytest.fixture(scope="module", params=["bpe", "unigram", "byte-bpe", "char"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    texts = [TEXT, *(f"The mill grinds {number} tons. A wheel turns." for number in range(200))]
    return train(iter(texts), TokenizerConfig(kind=request.param, vocabulary_size=400))


def test_breaks_are_where_sentences_and_paragraphs_end(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode_array(TEXT).astype(np.uint16)
    found = TextBreaks(tokenizer).before(tokens)
    assert len(found) == len(tokens) and found[0] == 0
    texts = {level: {tokenizer.decode(tokens[:place]) for place in np.flatnonzero(found == level).tolist()}
             for level in (SENTENCE, PARAGRAPH)}  # fmt: skip
    assert texts[PARAGRAPH] == _before("¶")
    assert _before("|") <= texts[SENTENCE] <= _before("|") | _before("~")


def _before(mark: str) -> set[str]:
    """Return the text before each place with a mark."""
    places = [place for place, each in enumerate(MARKED) if each == mark]
    return {"".join(each for each in MARKED[:place] if each not in "|~¶") for place in places}
