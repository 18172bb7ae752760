"""Settings of training and fine-tuning are checked before anything is loaded, also with ``--dry-run``."""

from pathlib import Path

import pytest

from core import config
from core.errors import ConfigError, GristmillError
from tests.train.folder import Folder
from train import finetune, training_run


def test_mixture_is_checked_against_local_shards(packed: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path, packed)
    training_run.validate(folder.config())
    wrong = folder.config().train.model_copy(update={"mixture": {"absent": 1.0}})
    with pytest.raises(ConfigError, match=r"mixture\.absent: "):
        training_run.validate(folder.config().model_copy(update={"train": wrong}))


def test_mixture_schedule_is_checked(tmp_path: Path) -> None:
    out, phase = f"output.path={tmp_path}", "{from_step=%d,mixture={web=1}}"
    valid = config.load(None, [out, f"train.mixture_schedule=[{phase % 5},{phase % 9}]"])
    assert [each.from_step for each in valid.train.mixture_schedule] == [5, 9]
    for steps in ((9, 5), (5, 5)):
        listed = ",".join(phase % step for step in steps)
        with pytest.raises(ConfigError, match=r"train.*from_step is \d, \d, but must ascend"):
            config.load(None, [out, f"train.mixture_schedule=[{listed}]"])
    with pytest.raises(ConfigError, match=r"mixture_schedule.*mixture"):
        config.load(None, [out, "train.mixture_schedule=[{from_step=5,mixture={}}]"])


def test_batch_size_schedule_is_checked(tmp_path: Path) -> None:
    out, phase = f"output.path={tmp_path}", "{from_step=%d,batch_size=8}"
    for steps in ((9, 5), (5, 5)):
        listed = ",".join(phase % step for step in steps)
        with pytest.raises(ConfigError, match=r"batch_size_schedule: from_step is \d, \d, but must ascend"):
            config.load(None, [out, f"train.batch_size_schedule=[{listed}]"])
    for wrong in ("{from_step=1,batch_size=8}", "{from_step=2,batch_size=0}", "{from_step=2}"):
        with pytest.raises(ConfigError, match=r"train\.batch_size_schedule\[0\]"):
            config.load(None, [out, f"train.batch_size_schedule=[{wrong}]"])


def test_edits_of_files_are_checked_against_local_shards(packed: Path, tmp_path: Path) -> None:
    folder, document = Folder(tmp_path, packed), f"{{documents=['{'f' * 32}']}}"
    training_run.validate(folder.config(f"train.edits=[{document}]"))
    for edit, message in (
        (
            "{file='train/books/part-9.arrow'}",
            r"train\.edits\[1\]\.file = .*: not a file of the training split",
        ),
        ("{file='train/books/part-00000.arrow',rows=[0,999]}", r"train\.edits\[1\]\.rows = \[0, 999\]: "),
    ):
        with pytest.raises(ConfigError, match=message):
            training_run.validate(folder.config(f"train.edits=[{document},{edit}]"))


def test_mixture_is_not_checked_without_shards(tmp_path: Path) -> None:
    training_run.validate(config.load(None, [f"output.path={tmp_path}", "train.mixture.web=2"]))
    with pytest.raises(ConfigError, match=r"output\.path is empty"):
        training_run.validate(config.load(None))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["finetune.model="], "finetune.model is empty"),
        (["finetune.files=[]"], "finetune.files is empty"),
        (["finetune.model=absent"], "absent: nothing there"),
        (['finetune.files=["absent.jsonl"]'], "absent.jsonl: nothing there"),
        (['finetune.validation_files=["absent.jsonl"]'], "absent.jsonl: nothing there"),
        (["finetune.preset=chatt"], "finetune.preset = chatt: no such preset"),
        (["finetune.preset=translation"], "finetune.values: source_language is missing"),
        (["finetune.fields.promt=p"], "finetune.fields.promt: preset chat has no such field"),
        (['finetune.files=[["a.jsonl","a.jsonl"]]'], "preset chat does not accept pairs of text files"),
    ],
)
def test_settings_of_fine_tuning_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").touch()
    valid = ["output.path=out", "finetune.model=a.jsonl", 'finetune.files=["a.jsonl"]']
    finetune.validate(config.load(None, valid))
    with pytest.raises(GristmillError) as caught:
        finetune.validate(config.load(None, [*valid, *overrides]))
    assert message in str(caught.value)
