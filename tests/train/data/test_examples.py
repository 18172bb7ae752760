"""Conversations are packed into rows; dropped and truncated ones are counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import FinetuneConfig
from core.errors import InputError
from core.tokenizer import Tokenizer, load_published
from core.tokenizer.chat import ChatTemplate, Message
from train.data.batch import IGNORE_INDEX
from train.data.dataset import read_rows
from train.data.examples import Example, ExampleDataset, load_examples, pack_examples
from train.data.stream import RowIndices

PAD = 3


@pytest.fixture(scope="module")
def tokenizer(packed: Path) -> Tokenizer:
    return load_published(str(packed / "tokenizer"))


def pairs(path: Path, *texts: tuple[str, str]) -> str:
    records = [{"prompt": prompt, "completion": completion} for prompt, completion in texts]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def collected(tokenizer: Tokenizer, *files: str, **others: Any) -> ExampleDataset:
    return load_examples(
        FinetuneConfig(files=files, **{"sequence_length": 24} | others),
        ChatTemplate(tokenizer),
        tokenizer.pad,
    )


def learned(examples: ExampleDataset, tokenizer: Tokenizer, source: str) -> list[str]:
    """Decode the targets of each document, including end marks."""
    rows = np.arange(examples.num_rows("train", source))
    batch = read_rows(examples, "train", [source], RowIndices(np.zeros_like(rows), rows)).batch()
    return [
        tokenizer.decode(targets[(document_ids == number) & (targets != IGNORE_INDEX)].tolist())
        for targets, document_ids in zip(batch.targets.numpy(), batch.document_ids.numpy(), strict=True)
        for number in range(document_ids.max() + 1)
    ]


def test_only_answers_are_learned_by_default(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = pairs(tmp_path / "a.jsonl", ("mill", "old"), ("wheel", "slow stone"))
    examples = collected(tokenizer, path, validation_share=0.0)
    assert sorted(learned(examples, tokenizer, "a")) == ["old", "slow stone"]
    everything = collected(tokenizer, path, validation_share=0.0, learn="all")
    assert sorted(learned(everything, tokenizer, "a")) == ["millold", "wheelslow stone"]
    end = tokenizer.special["<|end|>"]
    rows = examples.read("train", "a", np.arange(examples.num_rows("train", "a")))
    assert rows.loss_mask is not None
    assert (rows.tokens[rows.loss_mask] == end).sum() == 2


def test_the_order_of_records_does_not_matter(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = [(f"mill {number}", f"stone {number}") for number in range(40)]
    one = collected(tokenizer, pairs(tmp_path / "a.jsonl", *texts), validation_share=0.3)
    again = collected(tokenizer, pairs(tmp_path / "a.jsonl", *reversed(texts)), validation_share=0.3)
    assert one.sha256 == again.sha256
    other = collected(tokenizer, pairs(tmp_path / "a.jsonl", *texts, ("mill", "41")), validation_share=0.3)
    assert one.sha256 != other.sha256


def test_equal_examples_are_in_the_same_split(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = [(f"mill {number % 20}", "stone") for number in range(60)]
    examples = collected(tokenizer, pairs(tmp_path / "a.jsonl", *texts), validation_share=0.4)
    assert examples.counts["train"] + examples.counts["validation"] == 60
    assert 0 < examples.counts["validation"] < 60
    assert examples.counts["validation"] % 3 == 0


def test_validation_files(tokenizer: Tokenizer, tmp_path: Path) -> None:
    one, two = pairs(tmp_path / "a.jsonl", ("mill", "old")), pairs(tmp_path / "b.jsonl", ("wheel", "slow"))
    examples = collected(tokenizer, one, validation_files=(two,))
    assert examples.counts == {"train": 1, "validation": 1}
    assert (examples.num_rows("train", "a"), examples.num_rows("validation", "b")) == (1, 1)
    assert (examples.num_rows("train", "b"), examples.num_rows("validation", "a")) == (0, 0)


def test_examples_that_are_too_long_are_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = pairs(tmp_path / "a.jsonl", ("mill", "old"), ("mill", "old " * 40), ("mill " * 40, "old"))
    settings = {"validation_share": 0.0}
    assert collected(tokenizer, path, **settings).counts == {"train": 1, "too long": 2}
    cut = collected(tokenizer, path, **settings, too_long="truncate")
    assert cut.counts == {"train": 2, "truncated": 2, "without anything to learn": 1}
    assert max(len(text) for text in learned(cut, tokenizer, "a")) > 20


def test_datasets_without_training_examples_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = pairs(tmp_path / "a.jsonl", ("mill", "old " * 40))
    with pytest.raises(
        InputError, match=r"no training examples \(1 too long; finetune.sequence_length is 24\)"
    ):
        collected(tokenizer, path)
    asked = tmp_path / "b.jsonl"
    asked.write_text(json.dumps({"messages": [{"role": "user", "content": "mill"}]}) + "\n")
    with pytest.raises(InputError, match=r"\(1 without anything to learn; "):
        collected(tokenizer, str(asked))
    assert collected(tokenizer, str(asked), learn="all", validation_share=0.0).counts == {"train": 1}
    (tmp_path / "c.jsonl").write_text("")
    with pytest.raises(InputError, match=r"\(no examples; "):
        collected(tokenizer, str(tmp_path / "c.jsonl"))
    with pytest.raises(InputError, match=r"\(1 for validation; "):
        collected(tokenizer, pairs(tmp_path / "d.jsonl", ("mill", "old")), validation_share=0.999999)


def test_template_errors_have_a_location(tmp_path: Path) -> None:
    class Refusing:
        def examples(self, messages: list[Message]) -> None:
            raise InputError("the chat template refuses this conversation")

    path = pairs(tmp_path / "a.jsonl", ("mill", "old"))
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: the chat template refuses"):
        load_examples(FinetuneConfig(files=(path,)), Refusing(), PAD)  # type: ignore[arg-type]


def test_bad_records_are_counted_and_the_first_are_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good, bad = '{"prompt": "mill", "completion": "old"}\n', '{"prompt": "mill", "completion": "\\ud83d"}\n'
    path.write_text(good + bad + "{\n" + good + bad * 5)
    with pytest.raises(
        InputError, match=r"line 2: .*half of a surrogate pair.* · .*line 3: not JSON"
    ) as caught:
        collected(tokenizer, str(path))
    assert str(caught.value).endswith(" · 4 more records cannot be used")
    assert "\n" not in str(caught.value)


def numbers(length: int) -> npt.NDArray[np.uint32]:
    return np.arange(10, 10 + length, dtype=np.uint32)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_examples_are_not_split_across_rows(lengths: list[int]) -> None:
    examples = [
        Example(f"{index:04}", numbers(length) + 100 * index, numbers(length) % 2 == 0)
        for index, length in enumerate(lengths)
    ]
    rows = pack_examples(examples, 8, PAD)
    found = []
    for tokens, document_ids, learn in zip(rows.tokens, rows.document_ids, rows.loss_mask, strict=True):
        assert (tokens[document_ids < 0] == PAD).all()
        assert not learn[document_ids < 0].any()
        assert (np.diff(document_ids[document_ids >= 0]) >= 0).all()
        found += [
            (tokens[document_ids == number].tolist(), learn[document_ids == number].tolist())
            for number in range(document_ids.max() + 1)
        ]
    expected = [(example.tokens.tolist(), example.loss_mask.tolist()) for example in examples]
    assert sorted(found) == sorted(expected)
    assert len(rows.tokens) <= sum(lengths)
