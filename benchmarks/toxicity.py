"""The toxicity classifier: the sets that it learns from, and how good it is.

``python benchmarks/toxicity.py sets DATA SETS`` writes the sets that configs/toxicity.toml names; DATA has
the folders toxicity, langid, books, wiki and warc, and with the package alt-profanity-check installed.
``python benchmarks/toxicity.py measure SETS DATA`` prints the calibration of pipeline/filters/toxicity.py and
the tables of results/toxicity.md.
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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filters import SHORTEST, documents, passages
from numpy.typing import NDArray

from pipeline.config import LabelledText, load
from pipeline.filters import toxicity
from pipeline.filters.classifier import Classifier
from pipeline.filters.learning import Example, hold_out, read
from pipeline.filters.measuring import roc_auc
from pipeline.filters.toxicity import features
from pipeline.filters.training import learn

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

LABELLED = ("Davidson 2017", "GermEval 2018", "ToLD-BR", "Korean hate speech")
TAUGHT = ("Wikipedia, taught", "Books, taught", "Web pages, taught")
SHARE = 1 / 3
"""As in OLID and GermEval."""
CUT = -toxicity.SHIFT / toxicity.SLOPE
"""The log-odds that are calibrated to a half."""
LIMITS = (0.4, 0.45, 0.5, 0.55, 0.6)

Row = tuple[str, bool]
Numbers = NDArray[np.float64]
Truth = NDArray[np.bool_]


def labelled(folder: Path) -> dict[str, list[Row]]:
    """The labelled sets, raw, by name."""
    sets = {}
    for entry in tomllib.loads((HERE / "toxicity-sources.toml").read_text())["sets"]:
        each = LabelledText(**entry)
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
    import profanity_check.profanity_check as teacher

    folds = [fold.estimator.coef_[0] for fold in teacher.model.calibrated_classifiers_]
    weights = dict(zip(teacher.vectorizer.get_feature_names_out(), np.mean(folds, axis=0), strict=True))
    minded = [word for word, weight in weights.items() if weight > 0.7]
    texts = [*pool]
    for text in pool:
        words = text.split()[: rng.randrange(2, 15)]
        for word in rng.choices(minded, [weights[word] for word in minded], k=rng.randrange(1, 4)):
            words.insert(rng.randrange(len(words) + 1), word)
        texts.append(" ".join(words))
    for text, score in zip(texts, teacher.predict_prob(texts), strict=True):
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
    texts = {name: [text for path in each for text in passages(str(path))] for name, each in paths.items()}
    return texts | {"wiki": texts["wiki"][: len(texts["wiki"]) // 2]}


def save(path: Path, rows: Iterable[Row]) -> None:
    """Write a set as the classifier will see it: a line per passage."""
    with gzip.GzipFile(path, "wb", mtime=0) as stream:
        stream.write(b"text\tlabel\n")
        for text, toxic in rows:
            for passage in features(text):
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
    """Texts by their log-odds, and the truth."""

    name: str
    log_odds: Numbers
    toxic: Truth


def platt(log_odds: Numbers, toxic: Truth, weights: Numbers) -> tuple[float, float]:
    """Slope and shift of the logistic regression of truth on log-odds, by Newton's method (Platt 1999)."""
    design, solution = np.column_stack([log_odds, np.ones(len(log_odds))]), np.array([0.1, 0.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ solution))
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design
        solution += np.linalg.solve(curvature, design.T @ (weights * (toxic - chance)))
    return float(solution[0]), float(solution[1])


def left_out(sets: Path) -> Iterator[Judged]:
    """Every labelled set, judged by a model that learned from all the others.

    What alt-profanity-check taught is left out with Davidson's set, of which it learned.
    """
    config = load(str(CONFIG), [f"classifier.folder={sets}"])
    for name in LABELLED:
        omitted = {name, *TAUGHT} if name == "Davidson 2017" else {name}
        others = tuple(each for each in config.classifier.sets if each.name not in omitted)
        (own,) = (each for each in config.classifier.sets if each.name == name)
        with tempfile.TemporaryDirectory() as out:
            settings = config.classifier.model_copy(update={"sets": others})
            output = config.output.model_copy(update={"path": out})
            learn(config.model_copy(update={"classifier": settings, "output": output}))
            model = Classifier(Path(out) / "classifier/model.ftz")
        yield judge(f"{name}, left out", model, read(str(sets), own))


def held_out(sets: Path) -> Iterator[Judged]:
    """The tenth of every set that the shipped model did not learn from, and all of OLID."""
    config, model = load(str(CONFIG)), Classifier(SHIPPED)
    for each in config.classifier.sets:
        examples = read(str(sets), each)
        if each.learn:
            yield judge(each.name, model, hold_out(examples, config.classifier.held_out)[1])
        else:
            yield judge(f"{each.name}, never learned from", model, examples)


def judge(name: str, model: Classifier, examples: Sequence[Example]) -> Judged:
    """The log-odds of the examples, beside the truth."""
    log_odds = [model.logit(each.text) for each in examples]
    return Judged(name, np.array(log_odds), np.array([each.positive for each in examples]))


def cases() -> Iterator[Judged]:
    """By language, the cases that were written to be measured on, judged by the shipped model."""
    model = Classifier(SHIPPED)
    for language, table in tomllib.loads((HERE / "toxicity-cases.toml").read_text(encoding="utf-8")).items():
        texts = [*table["toxic"], *table["harmless"]]
        log_odds = np.array([model.logit(" ".join(features(text)[0])) for text in texts])
        yield Judged(f"Cases, {language}", log_odds, np.arange(len(texts)) < len(table["toxic"]))


def false_alarms(data: Path) -> Iterator[tuple[str, bool, list[float]]]:
    """By clean corpus: whether half of it was learned from, and its documents' scores, high ones last.

    Of books, a document is a passage; of those, only books that were not learned from are taken.
    """
    scorer, shelves = toxicity.load(), (data / "books").iterdir()
    books = {shelf.name: sorted(shelf.iterdir())[1::2] for shelf in sorted(shelves)}
    for code, paths in books.items():
        texts = [text for path in paths for text in passages(str(path))]
        yield f"Books, {code}, in passages", False, sorted(scorer.scores(texts))
    for name, path, learned in CLEAN:
        texts = [text for text in documents(str(data / path)) if len(text) >= SHORTEST]
        yield name, learned, sorted(scorer.scores(texts))


def calibration(parts: Sequence[Judged]) -> tuple[float, float]:
    """Slope and shift for sets that are all as important, in a stream of which :data:`SHARE` is toxic."""
    weights = [np.where(part.toxic, 1 / part.toxic.sum(), 1 / (~part.toxic).sum()) for part in parts]
    log_odds = np.concatenate([part.log_odds for part in parts])
    toxic = np.concatenate([part.toxic for part in parts])
    slope, shift = platt(log_odds, toxic, np.concatenate(weights))
    return slope, shift + math.log(SHARE / (1 - SHARE))


def make_report(sets: Path, data: Path) -> None:
    """Print the calibration, and what is measured as tables in Markdown.

    The calibration stands between texts like those learned from and others: half the weight is on held-out
    parts of the labelled sets, half on whole ones that were left out.
    """
    seen, unseen = list(held_out(sets)), list(left_out(sets))
    labelled_parts = [part for part in seen if part.name in LABELLED]
    print("SLOPE, SHIFT = {:.3f}, {:.3f}".format(*calibration([*labelled_parts, *unseen])))
    print("\n| Text | Passages | Positive | Precision | Recall | ROC-AUC |\n|---|---:|---:|---:|---:|---:|")
    for part in [*seen, *unseen, *cases()]:
        found, hits = part.log_odds > CUT, (part.log_odds > CUT) & part.toxic
        print(
            f"| {part.name} | {len(part.toxic):,} | {part.toxic.sum():,} | {hits.sum() / found.sum():.3f} "
            f"| {hits.sum() / part.toxic.sum():.3f} | {roc_auc(part.log_odds, part.toxic):.3f} |"
        )
    print("\n| Clean text | Documents | " + " | ".join(f"> {limit}, ‰" for limit in LIMITS) + " | Highest |")
    print("|---|---:" + "|---:" * len(LIMITS) + "|---:|")
    for name, learned, scores in false_alarms(data):
        alarms = (f"{1000 * sum(each > limit for each in scores) / len(scores):.2f}" for limit in LIMITS)
        also = " (half learned from)" if learned else ""
        print(f"| {name}{also} | {len(scores):,} | {' | '.join(alarms)} | {scores[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    command, *folders = sys.argv[1:]
    {"sets": make_sets, "measure": make_report}[command](*map(Path, folders))
