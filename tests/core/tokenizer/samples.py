"""Training texts, and strategies for test texts."""

import random

from hypothesis import strategies as st

SYLLABLES = [
    *("ka", "lo", "mi", "ter", "ven", "sur", "ing", "ed", "tion", "ès", "für", "naïve", "don't"),
    *("12", "2024", "(", ")", "[x]", "->", "::", "\n", "\n\n", "\t", "  ", "▁", "<unk>", "<0x41>"),
]
FRAGMENTS = [
    *("▁", "▁▁", " ", "   ", "\n", "\t", "\r\n", "\x00", "a", "Ab", "é", "”", ".", "1", "日本"),
    *("<0x41>", "<unk>", "<s>", "<|user|>", "⁇", "\ufeff", "\u0301", "🙂", "\ufffd"),
]


def texts() -> list[str]:
    draw = random.Random(5)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(400)]
    return [
        draw.choice(["", " ", "\n"]).join(draw.choices(words, k=60))
        + " "
        + " ".join(draw.choices(words, k=200))
        for _ in range(60)
    ]


any_text = st.text() | st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map("".join)
