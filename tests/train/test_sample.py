"""``python -m train.sample``."""

from pathlib import Path

import pytest
import torch

from core.errors import ConfigError
from model.generation import Sampling
from model.loading import load_latest_checkpoint
from tests.train.folder import Folder
from train import sample
from train.loop import train
from train.parallel import World


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Folder:
    """A short run."""
    result = Folder(tmp_path_factory.mktemp("trained"), packed)
    train(result.config("train.steps=6"), world)
    return result


def test_prompts_are_continued_as_text(trained: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer, manifest = load_latest_checkpoint(trained.config(), torch.device("cpu"))
    assert manifest.counts == {"step": 6}
    parts = list(
        sample.complete(model, tokenizer, "The mill", 30, Sampling(seed=5), frozenset({tokenizer.eos}))
    )
    assert len(parts) > 1
    arguments = [*trained.arguments, "--prompt", "The mill", "--tokens", "30", "--seed", "5"]
    sample.main([*arguments, "--temperature", "1", "--top-p", "1"])
    assert capsys.readouterr().out == "The mill" + "".join(parts) + "\n"


def test_multi_token_characters_are_not_split(trained: Folder) -> None:
    _, tokenizer, _ = load_latest_checkpoint(trained.config(), torch.device("cpu"))
    ids = tokenizer.encode("naïve 水車 🌾")
    assert len(ids) > len("naïve 水車 🌾")
    shown = list(sample.stream_text(tokenizer, iter(ids)))
    assert "".join(shown) == "naïve 水車 🌾"
    assert not any("\ufffd" in text for text in shown)


@pytest.mark.parametrize("wrong", [["--top-p", "1.5"], ["--tokens", "0"], ["--temperature", "-1"]])
def test_arguments_out_of_bounds_are_rejected(wrong: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"{wrong[0]}: .* use a number in that range; see --help"):
        sample.main(wrong)
