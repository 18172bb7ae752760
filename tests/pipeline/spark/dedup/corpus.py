"""A small corpus with exact and near copies, from words that mean nothing."""

import json
import random
from pathlib import Path


def documents(number: int, seed: int = 1, prefix: str = "") -> list[dict[str, str]]:
    """Return documents of 80 words; one in five copies an earlier one, exactly or with two other words."""
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices("abdegiklmnoprstu", k=draw.randint(3, 9))) for _ in range(800)]
    texts: list[list[str]] = []
    made = []
    for index in range(number):
        words = draw.choices(vocabulary, k=80)
        kind = draw.random()
        if texts and kind < 0.1:
            words = list(draw.choice(texts))
        elif texts and kind < 0.2:
            words = list(draw.choice(texts))
            for _ in range(2):
                words[draw.randrange(80)] = draw.choice(vocabulary)
        texts.append(words)
        made.append({"key": f"{prefix}{index}", "text": " ".join(words), "date": f"{2001 + index % 3}-05-01"})
    return made


def write(rows: list[dict[str, str]], path: Path) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
