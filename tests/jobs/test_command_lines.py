"""``--dry-run`` of every job checks what the run would, starts no Spark session and writes nothing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from core.errors import ConfigError, GristmillError, InputError, OutputError
from jobs import clean, pack, report, rethreshold, train_classifier, train_tokenizer

Job = Callable[[Sequence[str]], None]
JOBS: dict[str, Job] = {
    job.__name__: job.main for job in (clean, pack, report, rethreshold, train_classifier, train_tokenizer)
}


@pytest.fixture
def crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An input file; building a session fails."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.warc.gz"
    path.touch()
    for job in (clean, pack, report, rethreshold, train_tokenizer):
        monkeypatch.setattr(job, "session", lambda *_: pytest.fail("a session was built"))
    return path


def dry_run(job: Job, *overrides: str) -> None:
    job([*(f"--set={override}" for override in overrides), "--dry-run"])


@pytest.mark.parametrize("name", JOBS)
def test_output_path_is_required(crawl: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^output\.path is empty: it must be given"):
        dry_run(JOBS[name], f'input.paths=["{crawl}"]')


@pytest.mark.parametrize("name", JOBS)
def test_files_are_refused_as_output(crawl: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"^output\.path = a\.warc\.gz: is a file; name a folder$"):
        dry_run(JOBS[name], "output.path=a.warc.gz", f'input.paths=["{crawl}"]')


def test_output_of_clean_is_checked(crawl: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds files that are not Gristmill's"):
        dry_run(clean.main, f"output.path={tmp_path}", f'input.paths=["{crawl}"]')


@pytest.mark.parametrize("job", [pack.main, report.main, rethreshold.main, train_tokenizer.main])
def test_earlier_stages_need_not_have_run(
    crawl: Path, job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dry_run(job, "output.path=out")
    assert json.loads(capsys.readouterr().out)["output"]["path"] == "out"
    assert list(tmp_path.iterdir()) == [crawl]


@pytest.mark.parametrize("job", [clean.main, rethreshold.main])
@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("filters.preset=finweb", ConfigError, "the nearest valid name is fineweb"),
        (
            'filters.languages=["englisch2"]',
            ConfigError,
            "filters.languages: 'englisch2' is not a language; the nearest valid codes are ",
        ),
        ('filters.thresholds."gopher.few_wrds"=1', ConfigError, "the nearest valid name is gopher.few_words"),
        ('filters.thresholds."quality.score"=0.5', ConfigError, "filters.quality_model is empty"),
        ("filters.quality_model=absent.bin", InputError, "absent.bin: nothing there"),
    ],
)
def test_filters_are_checked(
    crawl: Path, job: Job, override: str, error: type[GristmillError], message: str
) -> None:
    with pytest.raises(error) as caught:
        dry_run(job, "output.path=out", f'input.paths=["{crawl}"]', override)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["language_model", "url_domains", "toxicity_words"])
def test_missing_files_are_reported_with_their_key(crawl: Path, key: str) -> None:
    with pytest.raises(InputError, match=rf"^filters\.{key} = .*absent: nothing there; check the path$"):
        dry_run(clean.main, "output.path=out", f'input.paths=["{crawl}"]', f"filters.{key}=absent")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "input.paths, input.index.path: one of them must say what to read; neither is set"),
        (['input.paths=["a.warc.gz"]', "input.index.path=a.warc.gz"], "both are set"),
        (['input.paths=["a.warc.gz","absent/*.gz"]'], "absent/*.gz: nothing there"),
        (['input.paths=["commoncrawl:CC-MAIN-2024-51?sample=2"]'], "?sample=SHARE above 0 and at most 1"),
        (["input.index.path=absent"], "absent: nothing there"),
    ],
)
def test_inputs_of_clean_are_checked(crawl: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(GristmillError) as caught:
        dry_run(clean.main, "output.path=out", *overrides)
    assert message in str(caught.value)


def test_remote_inputs_are_not_accessed(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry_run(
        clean.main,
        "output.path=s3://absent/out",
        'input.paths=["s3://absent/a","hdfs://absent/b","commoncrawl:CC-MAIN-2024-51?sample=0.1"]',
    )
    assert '"s3://absent/a"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [],
            "two corpora (classifier.positive.paths, classifier.negative.paths); set one of these pairs",
        ),
        (["classifier.folder=x"], "classifier.sets is empty"),
        (['classifier.positive.paths=["a.warc.gz"]'], "classifier.negative.paths is empty"),
        (
            ['classifier.positive.paths=["a.warc.gz"]', 'classifier.negative.paths=["absent"]'],
            "absent: nothing there",
        ),
    ],
)
def test_corpora_of_the_classifier_are_checked(crawl: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(GristmillError) as caught:
        dry_run(train_classifier.main, "output.path=out", *overrides)
    assert message in str(caught.value)


def test_a_valid_configuration_is_printed_and_nothing_is_written(
    crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    active = SparkSession.getActiveSession()
    dry_run(clean.main, "output.path=out", 'input.paths=["a.warc.gz"]', "filters.preset=gopher")
    assert json.loads(capsys.readouterr().out)["filters"]["preset"] == "gopher"
    dry_run(
        train_classifier.main,
        "output.path=out",
        'classifier.positive.paths=["a.warc.gz"]',
        'classifier.negative.paths=["s3://absent/x"]',
    )
    assert SparkSession.getActiveSession() is active
    assert list(tmp_path.iterdir()) == [crawl]
