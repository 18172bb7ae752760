"""The toxicity classifier: the sets that it learns from, and how good it is.

``python benchmarks/toxicity.py sets DATA OUT [TEACHER]``
"""

import csv
import gzip
import io
import random
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from filters import SHORTEST, documents, passages

from pipeline.config import LabelledText, load
from pipeline.filters import toxicity
from pipeline.filters.classifier import Classifier
from pipeline.filters.learning import read
from pipeline.filters.measuring import Quality, roc_auc
from pipeline.filters.toxicity import features
from pipeline.filters.training import learn

HERE = Path(__file__).parent / "data"
CONFIG = Path(__file__).parents[1] / "configs/toxicity.toml"
LISTS = Path(__file__).parents[1] / "pipeline/filters/data"
CLEAN = (
    ("Wikipedia, English", "wiki/enwiki-shortened.xml.bz2", True),
    ("Wikipedia, Italian", "wiki/itwiki-small.xml.gz", False),
    ("Wikipedia, Latgalian", "wiki/ltgwiki-small.xml.bz2", False),
    ("Web pages, English", "warc/pages-wcxb-dev.warc.gz", False),
    ("Web pages, some 45 languages", "warc/pages-mixed.warc.gz", True),
)
SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+|(?<=[。！？])")

Row = tuple[str, bool]


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
    """Sentences of many languages as they are; some with listed words put in: so many more words are known."""
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
        for word in rng.choices(minded, [weights[word] for word in minded], k=rng.randrange(1, 3)):
            words.insert(rng.randrange(len(words) + 1), word)
        texts.append(" ".join(words))
    for text, score in zip(texts, teacher.predict_prob(texts), strict=True):
        if not 0.3 < score < 0.6:
            yield text, bool(score > 0.5)


def clean(data: Path) -> dict[str, list[str]]:
    """Texts to learn as harmless, by source: every other book and half of Wikipedia; pages of one set of two."""
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
    rng = random.Random(1)  # noqa: S311
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
    prose = [
        each for text in (*texts["wiki"], *texts["books"], *texts["web"]) for each in SENTENCE.split(text)
    ]
    english = [each for each in prose if 20 < len(each) < 250 and each.isascii()]
    save(out / "taught-prose.tsv.gz", taught(rng.sample(english, 15_000), rng))
    save(out / "taught-tweets.tsv.gz", taught([text for text, _ in sets["davidson"]], rng))


def platt(log_odds: Sequence[float], toxic: Sequence[bool], weights: Sequence[float]) -> tuple[float, float]:
    """Slope and shift of the logistic regression of truth on log-odds, by Newton's method (Platt 1999)."""
    design = np.column_stack([log_odds, np.ones(len(log_odds))])
    truth, weight, solution = np.array(toxic, float), np.array(weights), np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ solution))
        gradient = design.T @ (weight * (truth - chance))
        solution += np.linalg.solve((design * (weight * chance * (1 - chance))[:, None]).T @ design, gradient)
    return float(solution[0]), float(solution[1])


def left_out(sets: Path) -> Iterator[tuple[LabelledText, Quality, list[float], list[bool]]]:
    """By labelled set: how good a model is that learned from all the others, and its log-odds beside the truth.

    What alt-profanity-check taught is left out with Davidson's set, of which it learned.
    """
    for name in ("Davidson 2017", "GermEval 2018", "ToLD-BR", "Korean hate speech"):
        config = load(str(CONFIG), [f"classifier.folder={sets}"])
        omitted = {name, *(["Prose, taught", "Tweets, taught"] if name == "Davidson 2017" else [])}
        parts = tuple(
            each.model_copy(update={"learn": each.learn and each.name not in omitted})
            for each in config.classifier.sets
            if each.name == name or each.name not in omitted
        )
        with tempfile.TemporaryDirectory() as out:
            changes = {"classifier": config.classifier.model_copy(update={"sets": parts})}
            changes["output"] = config.output.model_copy(update={"path": out})
            quality = learn(config.model_copy(update=changes)).parts[name]
            model = Classifier(Path(out) / "classifier/model.ftz")
        labelled_set = next(each for each in parts if each.name == name)
        examples = read(str(sets), labelled_set)
        yield (
            labelled_set,
            quality,
            [model.logit(each.text.split()) for each in examples],
            [each.positive for each in examples],
        )


def cases() -> Iterator[tuple[str, int, float]]:
    """By language: how many cases there are, and the ROC-AUC of the shipped scorer on them."""
    scorer = toxicity.load()
    for language, table in tomllib.loads((HERE / "toxicity-cases.toml").read_text(encoding="utf-8")).items():
        texts = [*table["toxic"], *table["harmless"]]
        truth = np.arange(len(texts)) < len(table["toxic"])
        yield language, len(texts), roc_auc(np.array(scorer.scores(texts)), truth)


def false_alarms(data: Path) -> Iterator[tuple[str, bool, list[float]]]:
    """By clean corpus: whether parts of it were learned from, and the scores of its documents, high ones last.

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


def make_report(sets: Path, data: Path) -> None:
    """Print the calibration and what is measured; write the latter beside the other results."""
    log_odds, truth, weights = [], [], []
    lines = ["| Never learned from | Texts | ROC-AUC |", "|---|---:|---:|"]
    for each, quality, found, toxic in left_out(sets):
        log_odds, truth = log_odds + found, truth + toxic
        share = {kind: toxic.count(kind) for kind in (False, True)}
        weights += [1 / share[kind] for kind in toxic]
        lines.append(f"| {each.name} | {quality.texts:,} | {quality.roc_auc:.3f} |")
    slope, shift = platt(log_odds, truth, weights)
    print(f"SLOPE, SHIFT = {slope:.3f}, {shift:.3f}")
    lines += [f"| Cases, {language} | {texts} | {area:.3f} |" for language, texts, area in cases()]
    lines += [
        "",
        "| Clean text | Documents | above 0.5, ‰ | 0.6 | 0.7 | 0.8 | 0.9 | Highest |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, learned, scores in false_alarms(data):
        alarms = [
            1000 * sum(score > limit for score in scores) / len(scores) for limit in (0.5, 0.6, 0.7, 0.8, 0.9)
        ]
        cells = " | ".join(f"{each:.2f}" for each in alarms)
        lines.append(
            f"| {name}{' (partly learned from)' if learned else ''} | {len(scores):,} | {cells} | {scores[-1]:.2f} |"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    command, *folders = sys.argv[1:]
    {"sets": make_sets, "measure": make_report}[command](*map(Path, folders))
