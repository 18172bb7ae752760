"""The toxicity classifier: the sets that it learns from, and how good it is.

``python benchmarks/toxicity.py grades DATA`` writes the graded words that are shipped; DATA has the folders
toxicity, langid, books, wiki and warc. ``python benchmarks/toxicity.py sets DATA SETS`` writes the sets that
configs/toxicity.toml names. ``python benchmarks/toxicity.py measure SETS DATA`` prints the calibration of
pipeline/filters/toxicity/scoring.py and the tables of results/toxicity.md. All need the extra ``toxicity``.
"""

import csv
import gzip
import io
import math
import random
import re
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import toxicity_peers as peers
from filters import SHORTEST, documents
from filters import passages as passages_of
from numpy.typing import NDArray
from toxicity_peers import Judge, Row

from core.config import LabelledSetConfig, load
from pipeline.filters import toxicity
from pipeline.filters.classifier.evaluation import roc_auc
from pipeline.filters.classifier.model import Classifier, prepare, split
from pipeline.filters.classifier.stage import learn
from pipeline.filters.classifier.training import Example, hold_out
from pipeline.filters.toxicity import word_weights as grades
from pipeline.filters.toxicity.deobfuscate import undisguise
from pipeline.filters.toxicity.scoring import evidence, passages
from pipeline.filters.toxicity.word_weights import Grades

HERE = Path(__file__).parent / "data"
CONFIG = Path(__file__).parents[1] / "configs/toxicity.toml"
LISTS = Path(__file__).parents[1] / "pipeline/filters/data"
SHIPPED = Path(__file__).parents[1] / "pipeline/filters" / toxicity.MODEL
CLEAN = (
    ("Wikipedia, English", "wiki/enwiki-shortened.xml.bz2", True),
    ("Wikipedia, Italian", "wiki/itwiki-small.xml.gz", False),
    ("Wikipedia, Latgalian", "wiki/ltgwiki-small.xml.bz2", False),
    ("Web pages, English", "warc/pages-wcxb-dev.warc.gz", False),
    ("Web pages, some 45 languages", "warc/pages-mixed.warc.gz", True),
)
SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+|(?<=[。！？])")

LABELLED = {
    "davidson": "Davidson 2017",
    "germeval": "GermEval 2018",
    "told-br": "ToLD-BR",
    "korean": "Korean hate speech",
}
"""Titles by file name."""
TAUGHT = ("Wikipedia, taught", "Books, taught", "Web pages, taught")
ALSO_OATHS = frozenset(("suck", "sucks", "hell", "balls", "tosser"))
"""Of the words that are harmless on lists of obscene ones, those that are graded nevertheless."""
ONE_IN = 10
"""A passage in so many is held out, as configs/toxicity.toml has it."""
SHARE = 1 / 3
"""As in OLID and GermEval."""
LIMITS = (0.4, 0.45, 0.5, 0.55, 0.6)

Numbers = NDArray[np.float64]
Truth = NDArray[np.bool_]


def labelled(folder: Path) -> dict[str, list[Row]]:
    """The labelled sets, raw, by name."""
    sets = {}
    for entry in tomllib.loads((HERE / "toxicity-sources.toml").read_text())["sets"]:
        each = LabelledSetConfig(**entry)
        text = gzip.decompress((folder / each.path).read_bytes()).decode("utf-8-sig")
        quoting = csv.QUOTE_MINIMAL if each.quoted else csv.QUOTE_NONE
        rows = csv.DictReader(
            io.StringIO(text, newline=""),
            fieldnames=each.columns or None,
            delimiter=each.delimiter,
            quoting=quoting,
        )
        sets[each.name] = [
            (row[each.text], any(row[label] in each.positive for label in each.labels)) for row in rows
        ]
    return sets


def words_of(kinds: Sequence[str]) -> dict[str, list[str]]:
    """By language the words of these kinds, and the obscene ones that are not harmless."""
    table = tomllib.loads((LISTS / "toxicity.toml").read_text(encoding="utf-8"))
    harmless, words = set(table["harmless"]["words"].split()), {}
    for line in (LISTS / "obscene_words.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            code, _, rest = line.partition(":")
            words.setdefault(code, set()).update(set(rest.split()) - harmless)
    for kind in kinds:
        for code, rest in table["kinds"][kind].items():
            words.setdefault(code, set()).update(rest.split())
    return {code: sorted(each) for code, each in words.items()}


def templates(rng: random.Random, only: str = "") -> Iterator[Row]:
    """Every template with every group, and with six insults."""
    insults = words_of(["insult", "slur"])
    for language, table in tomllib.loads(
        (HERE / "toxicity-templates.toml").read_text(encoding="utf-8")
    ).items():
        if only and language != only:
            continue
        groups = [(group.partition("|")[0], group.partition("|")[2] or group) for group in table["groups"]]
        for positive, sentences in ((True, table["hateful"]), (False, table["benign"])):
            for sentence in sentences:
                if "{i}" in sentence:
                    texts = [sentence.replace("{i}", word) for word in rng.sample(insults[language], 12)]
                elif "{g}" in sentence or "{o}" in sentence:
                    texts = [sentence.replace("{g}", group).replace("{o}", other) for group, other in groups]
                else:
                    texts = [sentence] * 3
                yield from ((text, positive) for text in texts)


def disguised(text: str, rng: random.Random) -> str:
    """The text with one of its longer words spelled otherwise."""
    words = text.split()
    long = [place for place, word in enumerate(words) if len(word) > 3]
    if not long:
        return text
    place = rng.choice(long)
    word, at = words[place], rng.randrange(1, len(words[place]) - 1)
    words[place] = rng.choice(
        [
            word[:at] + "*" + word[at + 1 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at] * 2 + word[at:],
        ]
    )
    return " ".join(words)


def lists(data: Path, rng: random.Random) -> Iterator[Row]:
    """Sentences of many languages, some with listed words put in, so that these are known; and the words."""
    words = words_of(["insult", "slur"])
    for path in sorted((data / "langid/sentences").glob("*.txt")):
        clean = path.read_text("utf-8").splitlines()
        own = words.get(path.stem, [])
        for place, sentence in enumerate(clean[:200]):
            yield sentence, False
            if own and place < 3 * len(own):
                parts = sentence.split(" ")[: rng.randrange(1, 12)]
                for _ in range(rng.randrange(1, 3)):
                    parts.insert(rng.randrange(len(parts) + 1), rng.choice(own))
                yield " ".join(parts), True
        yield from ((word, True) for word in own)


def taught(pool: Sequence[str], rng: random.Random) -> Iterator[Row]:
    """Each text, and its beginning with words put in that alt-profanity-check minds, as it judges them.

    Where it is in doubt (0.3 to 0.6), a text is left out.
    """
    weights = peers.weights_of_teacher()
    minded = [word for word, weight in weights.items() if weight > 0.7]
    texts = [*pool]
    for text in pool:
        words = text.split()[: rng.randrange(2, 15)]
        for word in rng.choices(minded, [weights[word] for word in minded], k=rng.randrange(1, 4)):
            words.insert(rng.randrange(len(words) + 1), word)
        texts.append(" ".join(words))
    for text, score in zip(texts, peers.alt_profanity_check(texts), strict=True):
        if not 0.3 < score < 0.6:
            yield text, bool(score > 0.5)


def clean(data: Path) -> dict[str, list[str]]:
    """Texts to learn as harmless, by source: every other book, half of Wikipedia, pages of one set of two."""
    books = [path for code in ("en", "fr", "de") for path in sorted((data / "books" / code).iterdir())[::2]]
    paths = {
        "wiki": [data / "wiki/enwiki-shortened.xml.bz2"],
        "books": books,
        "web": [data / "warc/pages-mixed.warc.gz"],
    }
    texts = {name: [text for path in each for text in passages_of(str(path))] for name, each in paths.items()}
    return texts | {"wiki": texts["wiki"][: len(texts["wiki"]) // 2]}


def make_grades(data: Path) -> None:
    """Write pipeline/filters/toxicity/data/word_weights.txt; nothing in it is from texts that are held out."""
    learned = {name: seen(rows) for name, rows in labelled(data / "toxicity").items()}
    english = written_small([*chain(*clean(data).values()), *(text for text, _ in learned["davidson"])])
    brazilian = written_small(text for text, _ in learned["told-br"])
    found = (
        ("en", {word: grade for word, grade in peers.grades_of_teacher().items() if word in english}, 1),
        ("de", graded(learned["germeval"]), 2),
        ("pt", {word: grade for word, grade in graded(learned["told-br"]).items() if word in brazilian}, 2),
    )
    table = tomllib.loads((LISTS / "toxicity.toml").read_text(encoding="utf-8"))
    never, groups = set(table["harmless"]["words"].split()) - ALSO_OATHS, table["kinds"]["group"]
    for line in (HERE / "toxicity-ungraded.txt").read_text(encoding="utf-8").splitlines():
        never.update(line.partition(":")[2].split())
    path = LISTS / "graded_words.txt"
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    lines = [
        f"{code} {grade}: {' '.join(words)}"
        for code, grades, least in found
        for grade, words in peers.whole(grades, least, never | set(groups[code].split())).items()
    ]
    path.write_text("\n".join([*header, *lines]) + "\n", encoding="utf-8")


def graded(rows: Sequence[Row]) -> dict[str, float]:
    """Grades of words by the texts that they are in."""
    return peers.grades_of([(" ".join(split(undisguise(text))), toxic) for text, toxic in rows])


def seen(rows: Iterable[Row]) -> list[Row]:
    """The rows that are learned from: not all of whose passages are held out."""
    return [row for row in rows if not is_held_out(row[0])]


def is_held_out(text: str) -> bool:
    """Whether no passage of the text is learned from."""
    examples = [Example(prepare(" ".join(words)), False) for words, _ in passages(text)]
    return not hold_out(examples, ONE_IN)[0]


def written_small(texts: Iterable[str]) -> set[str]:
    """The words that begin with a small letter at least every other time: no names."""
    times = Counter(word for text in texts for word in re.findall(r"[^\W\d_]+", text))
    small: Counter[str] = Counter()
    for word, count in times.items():
        small[word.lower()] += count if word[0].islower() else -count
    return {word for word, more in small.items() if more >= 0}


def save(path: Path, rows: Iterable[Row]) -> None:
    """Write a set as the classifier will see it: a line per passage."""
    with gzip.GzipFile(path, "wb", mtime=0) as stream:
        stream.write(b"text\tlabel\n")
        for text, toxic in rows:
            for passage, _ in passages(text):
                stream.write(f"{' '.join(passage)}\t{int(toxic)}\n".encode())


def make_sets(data: Path, out: Path) -> None:
    """Write every set that configs/toxicity.toml names to ``out``."""
    rng = random.Random(1)
    sets, texts = labelled(data / "toxicity"), clean(data)
    for name, rows in sets.items():
        save(out / f"{name}.tsv.gz", rows)
    said = list(templates(rng))
    save(
        out / "templates.tsv.gz",
        said + [(disguised(text, rng), toxic) for text, toxic in said if rng.random() < 0.4],
    )
    harmless = [
        (passage, False) for each in texts.values() for passage in rng.sample(each, min(1500, len(each)))
    ]
    save(out / "lists.tsv.gz", [*lists(data, rng), *harmless])
    for name, each in texts.items():
        english = {
            part for text in each for part in SENTENCE.split(text) if 20 < len(part) < 250 and part.isascii()
        }
        chosen = rng.sample(sorted(english), min(10_000, len(english)))
        save(out / f"taught-{name}.tsv.gz", taught(chosen, rng))


@dataclass(frozen=True)
class Judged:
    """Texts: the truth, our evidence in their passages, and what the peers say of them, by name."""

    name: str
    toxic: Truth
    evidence: list[Numbers]
    peers: dict[str, Numbers]


def judge(
    name: str, rows: Sequence[Row], model: Classifier, words: Grades, judges: Mapping[str, Judge]
) -> Judged:
    """Judge texts by a model of ours and by others."""
    texts, toxic = [text for text, _ in rows], np.array([toxic for _, toxic in rows])
    found = [evidence(model, text, words) for text in texts]
    return Judged(name, toxic, found, {name: judge(texts) for name, judge in judges.items()})


def held_out(sets: Mapping[str, list[Row]]) -> Iterator[Judged]:
    """The tenth of every set that the shipped model did not learn from, all of OLID, and the cases.

    The peers learned from the same nine tenths.
    """
    model, judges = Classifier(SHIPPED), peers.peers([row for name in LABELLED for row in seen(sets[name])])
    for name, title in LABELLED.items():
        yield judge(title, [row for row in sets[name] if is_held_out(row[0])], model, grades.load(), judges)
    yield judge("OLID, never learned from", sets["olid"], model, grades.load(), judges)
    for language, table in tomllib.loads((HERE / "toxicity-cases.toml").read_text(encoding="utf-8")).items():
        rows = [(text, label == "toxic") for label, texts in table.items() for text in texts]
        yield judge(f"Cases, {language}", rows, model, grades.load(), judges)


def left_out(sets: Mapping[str, list[Row]], folder: Path) -> Iterator[Judged]:
    """Every labelled set, judged by models that learned from all the others.

    What alt-profanity-check taught and graded is left out with Davidson's set, of which it learned.
    """
    config = load(str(CONFIG), [f"classifier.folder={folder}"])
    for name, title in LABELLED.items():
        omitted = {title, *TAUGHT} if name == "davidson" else {title}
        others = tuple(each for each in config.classifier.sets if each.name not in omitted)
        (own,) = (each for each in config.classifier.sets if each.name == title)
        with tempfile.TemporaryDirectory() as out:
            settings = config.classifier.model_copy(update={"sets": others})
            output = config.output.model_copy(update={"path": out})
            learn(config.model_copy(update={"classifier": settings, "output": output}))
            model = Classifier(Path(out) / "classifier/model.ftz")
        judges = peers.peers([row for other in LABELLED if other != name for row in seen(sets[other])])
        yield judge(f"{title}, left out", sets[name], model, grades.load().without(own.language), judges)


def platt(design: Numbers, toxic: Truth, weights: Numbers) -> Numbers:
    """The coefficients of the logistic regression of truth on evidence, by Newton's method (Platt 1999)."""
    solution = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ solution))
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design
        solution += np.linalg.solve(curvature, design.T @ (weights * (toxic - chance)))
    return solution


def calibration(parts: Sequence[Judged]) -> Numbers:
    """SLOPE, GRADE, SHIFT: all sets are as important, :data:`SHARE` of what will be judged is toxic."""
    evidence, toxic, weights = [], [], []
    for part in parts:
        for found, truth in zip(part.evidence, part.toxic, strict=True):
            evidence.append(found)
            toxic += [truth] * len(found)
            weights += [1 / (part.toxic == truth).sum()] * len(found)
    rows = np.concatenate(evidence)
    solution = platt(np.column_stack([rows, np.ones(len(rows))]), np.array(toxic), np.array(weights))
    solution[-1] += math.log(SHARE / (1 - SHARE))
    return solution


def false_alarms(data: Path) -> Iterator[tuple[str, bool, list[float]]]:
    """By clean corpus: whether half of it was learned from, and its documents' scores, high ones last.

    Of books, a document is a passage; of those, only books that were not learned from are taken.
    """
    scorer, shelves = toxicity.load(), (data / "books").iterdir()
    books = {shelf.name: sorted(shelf.iterdir())[1::2] for shelf in sorted(shelves)}
    for code, paths in books.items():
        texts = [text for path in paths for text in passages_of(str(path))]
        yield f"Books, {code}, in passages", False, sorted(scorer.scores(texts))
    for name, path, learned in CLEAN:
        texts = [text for text in documents(str(data / path)) if len(text) >= SHORTEST]
        yield name, learned, sorted(scorer.scores(texts))


def make_report(folder: Path, data: Path) -> None:
    """Print the calibration, and what is measured as tables in Markdown.

    The calibration stands between texts like those learned from and others: half the weight is on held-out
    parts of the labelled sets, half on whole ones that were left out.
    """
    sets = labelled(data / "toxicity")
    unseen, whole = list(held_out(sets)), list(left_out(sets, folder))
    parts = [part for part in unseen if part.name in LABELLED.values()]
    print("SLOPE, GRADE, SHIFT = {:.3f}, {:.3f}, {:.3f}".format(*calibration([*parts, *whole])))
    names = list(unseen[0].peers)
    print(f"\n| Text | Texts | Positive | Precision | Recall | ROC-AUC | {' | '.join(names)} |")
    print("|---|" + "---:|" * (5 + len(names)))
    for part in [*unseen, *whole]:
        scores = np.array([toxicity.mean(each) for each in part.evidence])
        found, hits = scores > 0.5, (scores > 0.5) & part.toxic
        areas = [roc_auc(each, part.toxic) for each in (scores, *part.peers.values())]
        print(
            f"| {part.name} | {len(scores):,} | {part.toxic.sum():,} | {hits.sum() / found.sum():.3f} "
            f"| {hits.sum() / part.toxic.sum():.3f} | {' | '.join(f'{area:.3f}' for area in areas)} |"
        )
    print("\n| Clean text | Documents | " + " | ".join(f"> {limit}, ‰" for limit in LIMITS) + " | Highest |")
    print("|---|---:" + "|---:" * len(LIMITS) + "|---:|")
    for name, learned, scores in false_alarms(data):
        alarms = (f"{1000 * sum(each > limit for each in scores) / len(scores):.2f}" for limit in LIMITS)
        also = " (half learned from)" if learned else ""
        print(f"| {name}{also} | {len(scores):,} | {' | '.join(alarms)} | {scores[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    command, *folders = sys.argv[1:]
    {"grades": make_grades, "sets": make_sets, "measure": make_report}[command](*map(Path, folders))
