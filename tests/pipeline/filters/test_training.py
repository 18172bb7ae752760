import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Classifier, Config, LabelledText, load
from pipeline.errors import ConfigError, InputError, OutputError
from pipeline.filters import learning
from pipeline.filters.learning import Example
from pipeline.filters.training import learn

GOOD, BAD = ("fine pleasant kind sunny", "awful nasty horrid vile")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two sets of 200 rows, one to learn from and one only to measure on, in two forms."""
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
        LabelledText(name="plain", path="plain.csv", **common),
        LabelledText(
            name="bare",
            path="bare.tsv.gz",
            columns=("text", "kind"),
            delimiter="\t",
            quoted=False,
            learn=False,
            **common,
        ),
    )
    classifier = Classifier(
        folder=str(tmp_path), sets=sets, rows_per_class=300, dimension=4, buckets=10_000, features=1000
    )
    return Config.model_validate({"classifier": classifier, "output": {"path": str(tmp_path / "out")}})


def test_learns_measures_and_publishes_once(config: Config) -> None:
    quality = learn(config)
    assert set(quality) == {"plain", "bare"}
    assert quality["bare"].texts == 200 and quality["bare"].positive == 100
    assert 5 <= quality["plain"].texts <= 40
    assert min(each.roc_auc for each in quality.values()) > 0.99
    out = Path(config.output.path) / "classifier"
    first = (out / "model.ftz").read_bytes()
    stamp = (out / "model.ftz").stat().st_mtime_ns
    assert learn(config) == quality and (out / "model.ftz").stat().st_mtime_ns == stamp
    again = config.model_copy(update={"output": config.output.model_copy(update={"overwrite": True})})
    changed = again.classifier.model_copy(update={"seed": 2})
    with pytest.raises(OutputError, match="another configuration"):
        learn(config.model_copy(update={"classifier": changed}))
    learn(again.model_copy(update={"classifier": changed}))
    learn(again)
    assert (out / "model.ftz").read_bytes() == first, "one thread and one seed give one model"


def test_refuses_what_cannot_be_learned_from(config: Config, tmp_path: Path) -> None:
    plain, bare = config.classifier.sets

    def attempt(*sets: LabelledText) -> None:
        learn(config.model_copy(update={"classifier": config.classifier.model_copy(update={"sets": sets})}))

    with pytest.raises(ConfigError, match="none with learn"):
        attempt(bare)
    with pytest.raises(InputError, match="no such file"):
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


def test_the_shipped_recipe_is_valid() -> None:
    sets = load("configs/toxicity.toml").classifier.sets
    assert {each.name for each in sets if not each.learn} == {"OLID"}


@given(st.lists(st.builds(Example, st.text(min_size=1), st.booleans())))
def test_held_out_texts_are_never_learned(examples: list[Example]) -> None:
    learned, held_out = learning.hold_out(examples, 3)
    assert sorted(map(repr, learned + held_out)) == sorted(map(repr, examples))
    assert not {example.text for example in learned} & {example.text for example in held_out}


def test_balance_repeats_what_is_rare() -> None:
    examples = [Example(str(number), number < 2) for number in range(10)]
    balanced = learning.balance(examples, 5, seed=1)
    assert sum(example.positive for example in balanced) == 5 == len(balanced) // 2
    assert len({example.text for example in balanced if not example.positive}) == 5


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()), max_size=20))
def test_roc_auc_counts_pairs(scored: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in scored]), np.array([label for _, label in scored], bool)
    pairs = [(up, down) for up in scores[truth] for down in scores[~truth]]
    area = learning.roc_auc(scores, truth)
    if pairs:
        assert area == pytest.approx(sum((up > down) + (up == down) / 2 for up, down in pairs) / len(pairs))
    else:
        assert math.isnan(area)
