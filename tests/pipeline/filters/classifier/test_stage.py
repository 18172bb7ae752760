import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import manifest
from core.config import ClassifierConfig, Config, CorpusConfig, LabelledSetConfig, load
from core.errors import ConfigError, InputError, OutputError
from pipeline.filters.classifier import training
from pipeline.filters.classifier.stage import train_classifier
from pipeline.filters.classifier.training import Corpora, Example

GOOD, BAD = ("fine pleasant kind sunny", "awful nasty horrid vile")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two sets of 200 rows in different formats, one for training and one only for evaluation."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(200):
        words = generator.choice((GOOD if number % 2 else BAD).split(), 6)
        rows.append((" ".join([*words, f"row{number}"]), "ok" if number % 2 else "rude"))
    (tmp_path / "plain.csv").write_text("kind,text\n" + "".join(f'{kind},"{text}"\n' for text, kind in rows))
    with gzip.open(tmp_path / "bare.tsv.gz", "wt") as stream:
        stream.writelines(f'{text} "\t{kind}\n' for text, kind in rows)
    common = {"language": "en", "text": "text", "labels": ("kind",), "positive": ("rude",)}
    sets = (
        LabelledSetConfig(name="plain", path="plain.csv", **common),
        LabelledSetConfig(
            name="bare",
            path="bare.tsv.gz",
            columns=("text", "kind"),
            delimiter="\t",
            quoted=False,
            learn=False,
            **common,
        ),
    )
    classifier = ClassifierConfig(
        folder=str(tmp_path), sets=sets, rows_per_class=300, dimension=4, buckets=10_000, features=1000
    )
    return Config.model_validate({"classifier": classifier, "output": {"path": str(tmp_path / "out")}})


def test_trains_evaluates_and_publishes_once(config: Config) -> None:
    evaluation = train_classifier(config)
    quality = evaluation.parts
    assert set(quality) == {"plain", "bare"} and evaluation.threshold == 0.5
    assert quality["bare"].texts == 200 and quality["bare"].positive == 100
    assert 5 <= quality["plain"].texts <= 40
    assert min(each.roc_auc for each in quality.values()) > 0.99
    out = Path(config.output.path) / "classifier"
    first = (out / "model.ftz").read_bytes()
    stamp = (out / "model.ftz").stat().st_mtime_ns
    assert train_classifier(config) == evaluation and (out / "model.ftz").stat().st_mtime_ns == stamp
    again = config.model_copy(update={"output": config.output.model_copy(update={"overwrite": True})})
    changed = again.classifier.model_copy(update={"seed": 2})
    with pytest.raises(OutputError, match="another configuration"):
        train_classifier(config.model_copy(update={"classifier": changed}))
    train_classifier(again.model_copy(update={"classifier": changed}))
    train_classifier(again)
    assert (out / "model.ftz").read_bytes() == first, "training with one thread and one seed is deterministic"


def test_invalid_sets_are_rejected(config: Config, tmp_path: Path) -> None:
    plain, bare = config.classifier.sets

    def attempt(*sets: LabelledSetConfig) -> None:
        train_classifier(
            config.model_copy(update={"classifier": config.classifier.model_copy(update={"sets": sets})})
        )

    with pytest.raises(ConfigError, match="none has learn = true"):
        attempt(bare)
    with pytest.raises(InputError, match=r"absent\.csv: nothing there"):
        attempt(plain.model_copy(update={"path": "absent.csv"}))
    with pytest.raises(InputError, match="has no column 'words', only kind, text"):
        attempt(plain.model_copy(update={"text": "words"}))
    with pytest.raises(InputError, match="no positive examples"):
        attempt(plain.model_copy(update={"positive": ("vile",)}))
    with pytest.raises(InputError, match="line 1 has 1 fields, but there are 2 columns"):
        attempt(bare.model_copy(update={"delimiter": ",", "learn": True}))
    (tmp_path / "latin.csv").write_bytes("kind,text\nok,déjà".encode("latin-1"))
    with pytest.raises(InputError, match="cannot be read as UTF-8"):
        attempt(plain.model_copy(update={"path": "latin.csv"}))
    assert not Path(config.output.path).exists()


def test_shipped_configurations_are_valid() -> None:
    sets = load("configs/toxicity.toml").classifier.sets
    assert {each.name for each in sets if not each.learn} == {"OLID"}
    quality = load("configs/quality.toml").classifier
    assert quality.positive.paths != quality.negative.paths


def _texts(language: str, words: str, count: int, *, positive: bool) -> list[Example]:
    generator = np.random.default_rng(len(words))
    return [
        Example(
            text=" ".join([*dict.fromkeys(generator.choice(words.split(), 6)), f"{language}{number}"]),
            positive=positive,
            language=language,
            source="books" if positive else "commoncrawl",
            url="" if positive else f"https://{language}.example/{number}",
        )
        for number in range(count)
    ]


@pytest.fixture
def corpora() -> Corpora:
    """English and Danish in both corpora, French only in the negative one."""
    examples = [
        *_texts("en", GOOD, 300, positive=True),
        *_texts("en", BAD, 300, positive=False),
        *_texts("da", "venlig smuk solrig rolig", 60, positive=True),
        *_texts("da", "grim led ond sur", 300, positive=False),
        *_texts("fr", "laid mauvais triste", 50, positive=False),
    ]
    return Corpora(["two corpora"], lambda: examples)


@pytest.fixture
def quality(config: Config) -> Config:
    """The same configuration with corpora instead of sets."""
    settings = {
        "sets": (),
        "positive": CorpusConfig(paths=("good",)),
        "negative": CorpusConfig(paths=("bad",)),
    }
    return config.model_copy(update={"classifier": config.classifier.model_copy(update=settings)})


def test_corpora_are_balanced_by_language_and_the_threshold_keeps_a_share_of_the_negative(
    quality: Config, corpora: Corpora
) -> None:
    evaluation = train_classifier(quality, corpora)
    assert set(evaluation.parts) == {
        "both corpora",
        "language da",
        "language en",
        "other languages",
        "source books",
        "source commoncrawl",
    }
    total, negative = evaluation.parts["both corpora"], evaluation.parts["source commoncrawl"]
    assert total.roc_auc > 0.99 and total.recall > 0.9
    assert negative.positive == 0 and negative.kept == total.kept == pytest.approx(0.1, abs=0.02)
    assert math.isnan(negative.recall) and evaluation.parts["other languages"].positive == 0
    assert [page.score for page in evaluation.pages] == sorted(
        (page.score for page in evaluation.pages), reverse=True
    )
    assert all(page.url.startswith(f"https://{page.language}.example/") for page in evaluation.pages)
    out = Path(quality.output.path) / "classifier"
    found = manifest.read(str(out), "classifier")
    danish, english = 2 * 270, 2 * 270
    assert found.counts["learned_from"] == pytest.approx(danish + english, rel=0.1)
    card = (out / "card.md").read_text()
    assert str(evaluation.threshold) in card and "| da | books | positive |" in card and "| fr |" not in card
    unread = Corpora(
        corpora.inputs, lambda: pytest.fail("the corpora are read again although the stage is done")
    )
    assert repr(train_classifier(quality, unread)) == repr(evaluation)  # NaN differs from itself


def test_corpora_without_a_common_language_are_rejected(quality: Config, corpora: Corpora) -> None:
    def attempt(examples: list[Example], **settings: Any) -> None:
        changed = quality.classifier.model_copy(update=settings)
        train_classifier(quality.model_copy(update={"classifier": changed}), Corpora([""], lambda: examples))

    examples = corpora.draw()
    with pytest.raises(InputError, match="no language in which both have 20 texts to train on, at most 0"):
        attempt([each for each in examples if each.positive == (each.language == "en")])
    with pytest.raises(InputError, match="no language in which both have 20 texts to train on, at most 0"):
        attempt([])
    with pytest.raises(InputError, match=r"keep_share = 0\.001: is less than one of the \d+ negative texts"):
        attempt(examples, keep_share=0.001)
    assert not Path(quality.output.path).exists()


_EXAMPLES = st.builds(
    Example,
    st.text(min_size=1),
    st.booleans(),
    group=st.sampled_from(["", "a", "b", "c"]),
    keys=st.frozensets(st.integers(0, 9), max_size=2),
)


@given(st.lists(_EXAMPLES))
def test_training_texts_and_their_near_duplicates_are_not_held_out(examples: list[Example]) -> None:
    rest, held_out = training.hold_out(examples, 1 / 3)
    assert not {each.group or each.text for each in rest} & {each.group or each.text for each in held_out}
    training_keys = frozenset().union(*(each.keys for each in rest))
    assert not any(each.keys & training_keys for each in held_out)
    dropped = [each for each in examples if each not in rest and each not in held_out]
    assert all(each.keys & training_keys for each in dropped)


def test_balance_repeats_the_smaller_class() -> None:
    examples = [Example(str(number), number < 2) for number in range(10)]
    balanced = training.balance(examples, 5, seed=1)
    assert sum(example.positive for example in balanced) == 5 == len(balanced) // 2
    assert len({example.text for example in balanced if not example.positive}) == 5
