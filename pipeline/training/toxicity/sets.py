"""Training sets of the toxicity classifier, which ``configs/toxicity.toml`` lists, in its input format.

The labelled sets, and synthetic ones: templates, listed words inserted into clean text of many languages, and
clean English text labelled by a teacher.
"""

import gzip
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.resources import read_toml
from pipeline.filters.toxicity import word_lists
from pipeline.filters.toxicity.categories import Category
from pipeline.filters.toxicity.scoring import passages
from pipeline.training.toxicity import teacher
from pipeline.training.toxicity.sources import Row, clean_texts, labelled_sets

SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+|(?<=[。！？])")
INSULTS_PER_TEMPLATE = 12
OBFUSCATED_SHARE = 0.4
"""Share of the templates that is repeated with an obfuscated word."""
SENTENCES_PER_LANGUAGE = 200
CLEAN_PASSAGES = 1500
"""Clean passages per source in the set of listed words."""
TEACHER_SENTENCES = 10_000
"""Sentences per source that the teacher labels."""
PROFANE_WEIGHT = 0.7
"""Teacher's weight above which a word is inserted into sentences."""
DOUBTFUL = (0.3, 0.6)
"""Teacher's scores between which a text is left out."""


def write_sets(data: Path, out: Path) -> None:
    """Write every set to ``out``. Deterministic. Takes half a minute."""
    rng = random.Random(1)
    sets, clean = labelled_sets(data / "toxicity"), clean_texts(data)
    for name, rows in sets.items():
        write_set(out / f"{name}.tsv.gz", rows)
    filled = list(filled_templates(rng))
    obfuscated = [(obfuscate(text, rng), toxic) for text, toxic in filled if rng.random() < OBFUSCATED_SHARE]
    write_set(out / "templates.tsv.gz", filled + obfuscated)
    harmless = [
        (passage, False)
        for each in clean.values()
        for passage in rng.sample(each, min(CLEAN_PASSAGES, len(each)))
    ]
    write_set(out / "lists.tsv.gz", [*with_listed_words(data / "langid/sentences", rng), *harmless])
    for name, each in clean.items():
        sentences = {sentence for text in each for sentence in SENTENCE.split(text) if _is_english(sentence)}
        chosen = rng.sample(sorted(sentences), min(TEACHER_SENTENCES, len(sentences)))
        write_set(out / f"taught-{name}.tsv.gz", labelled_by_teacher(chosen, rng))


def write_set(path: Path, rows: Iterable[Row]) -> None:
    """Write a set as the classifier's input, one line per passage, gzipped."""
    with gzip.GzipFile(path, "wb", mtime=0) as stream:
        stream.write(b"text\tlabel\n")
        for text, toxic in rows:
            for passage in passages(text):
                stream.write(f"{' '.join(passage.tokens)}\t{int(toxic)}\n".encode())


def filled_templates(rng: random.Random) -> Iterator[Row]:
    """Yield every template with every group or with random insults; three times if it has no placeholder."""
    insults = offensive_words()
    for language, table in read_toml("pipeline.training.toxicity", "data/templates.toml").items():
        groups = [(group.partition("|")[0], group.partition("|")[2] or group) for group in table["groups"]]
        for toxic, sentences in ((True, table["hateful"]), (False, table["benign"])):
            for sentence in sentences:
                if "{i}" in sentence:
                    words = rng.sample(insults[language], INSULTS_PER_TEMPLATE)
                    texts = [sentence.replace("{i}", word) for word in words]
                elif "{g}" in sentence or "{o}" in sentence:
                    texts = [
                        sentence.replace("{g}", subject).replace("{o}", other) for subject, other in groups
                    ]
                else:
                    texts = [sentence] * 3
                yield from ((text, toxic) for text in texts)


def obfuscate(text: str, rng: random.Random) -> str:
    """Misspell one random word of four or more letters."""
    words = text.split()
    candidates = [index for index, word in enumerate(words) if len(word) > 3]
    if not candidates:
        return text
    index = rng.choice(candidates)
    word, at = words[index], rng.randrange(1, len(words[index]) - 1)
    words[index] = rng.choice(
        [
            word[:at] + "*" + word[at + 1 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at] * 2 + word[at:],
        ]
    )
    return " ".join(words)


def with_listed_words(folder: Path, rng: random.Random) -> Iterator[Row]:
    """Yield clean sentences of each language, copies with offensive words inserted, and those words."""
    words = offensive_words()
    for path in sorted(folder.glob("*.txt")):
        own = words.get(path.stem, [])
        for index, sentence in enumerate(path.read_text("utf-8").splitlines()[:SENTENCES_PER_LANGUAGE]):
            yield sentence, False
            if own and index < 3 * len(own):
                parts = sentence.split(" ")[: rng.randrange(1, 12)]
                for _ in range(rng.randrange(1, 3)):
                    parts.insert(rng.randrange(len(parts) + 1), rng.choice(own))
                yield " ".join(parts), True
        yield from ((word, True) for word in own)


def labelled_by_teacher(sentences: Sequence[str], rng: random.Random) -> Iterator[Row]:
    """Yield the sentences, and their beginnings with profane words inserted, with the teacher's labels.

    Texts of which the teacher is in doubt are left out.
    """
    weights = teacher.margin_weights()
    profane = [word for word, weight in weights.items() if weight > PROFANE_WEIGHT]
    texts = [*sentences]
    for text in sentences:
        words = text.split()[: rng.randrange(2, 15)]
        for word in rng.choices(profane, [weights[word] for word in profane], k=rng.randrange(1, 4)):
            words.insert(rng.randrange(len(words) + 1), word)
        texts.append(" ".join(words))
    low, high = DOUBTFUL
    for text, score in zip(texts, teacher.scores(texts), strict=True):
        if not low < score < high:
            yield text, bool(score > 0.5)


def offensive_words() -> dict[str, list[str]]:
    """Return obscene words, insults and slurs by language, sorted."""
    words: dict[str, set[str]] = {}
    for category in (Category.OBSCENE, Category.INSULT, Category.SLUR):
        for language, listed in word_lists.load().by_category[category].items():
            words.setdefault(language, set()).update(listed)
    return {language: sorted(each) for language, each in words.items()}


def _is_english(sentence: str) -> bool:
    """True for sentences of a usual length in ASCII, most of which are English in these sources."""
    return 20 < len(sentence) < 250 and sentence.isascii()
