"""Ends of paragraphs and sentences among tokens, where a document that is longer than a row is best cut."""

import re

import numpy as np
import numpy.typing as npt

from core.tokenizer import Tokenizer

SENTENCE, PARAGRAPH = 1, 2

# Closing quotes and brackets belong to the sentence. Chinese and Japanese write no space after it.
_SENTENCE_END = re.compile(r"[.!?…؟।॥]['\"”’»)\]]*$")
_FULL_WIDTH_END = re.compile(r"[。！？｡][”’」』）]*$")


class TextBreaks:
    """The breaks before tokens of a tokenizer. Found by the tokens' text, so no text is needed."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        number = tokenizer.vocabulary_size
        texts = [tokenizer.token_bytes(token).decode("utf-8", "replace") for token in range(number)]
        self._paragraph = np.array([text.endswith("\n") for text in texts])
        self._sentence = np.array([bool(_SENTENCE_END.search(text)) for text in texts])
        self._full_width = np.array([bool(_FULL_WIDTH_END.search(text)) for text in texts])
        # Where a line ends, the break is after its end.
        self._space = np.array([text[:1].isspace() and text[0] != "\n" for text in texts])

    def before(self, tokens: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint8]:
        """Return what ends before each token: uint8, PARAGRAPH, SENTENCE or 0 for nothing."""
        previous = tokens[:-1]
        found = np.zeros(len(tokens), np.uint8)
        sentence = self._full_width[previous] | (self._sentence[previous] & self._space[tokens[1:]])
        found[1:][sentence] = SENTENCE
        found[1:][self._paragraph[previous]] = PARAGRAPH
        return found
