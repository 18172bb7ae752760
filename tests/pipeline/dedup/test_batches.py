import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.batches import text_batches


@given(st.lists(st.text("a \n", max_size=9)), st.integers(1, 20))
def test_batches_hold_every_text_at_its_offset(texts, characters):
    numbers = []
    for batch in text_batches(texts, characters):
        held = range(batch.first, batch.first + len(batch.starts))
        for number, offset in zip(held, batch.offsets(np.array(held)).tolist(), strict=True):
            text = texts[number]
            assert "".join(map(chr, batch.codes[offset : offset + len(text)])) == text
            assert set(batch.documents(np.arange(offset, offset + len(text))).tolist()) <= {number}
        assert len(held) == 1 or len(batch.codes) <= characters
        numbers += held
    assert numbers == list(range(len(texts)))
