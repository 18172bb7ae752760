"""Settings that ``clean`` and ``dedup`` refuse before they start Spark or write anything."""

import pytest

from core import manifest
from core.config import Config, DedupConfig, load
from core.errors import ConfigError, InputError, ManifestError, MismatchError, OutputError
from core.manifest import Manifest
from core.stage import Stage
from pipeline.dedup.parameters import parameters
from pipeline.ledger import RECORDS
from pipeline.spark import clean
from pipeline.spark.dedup import stage as dedup

EMPTY = {"inputs": [], "counts": {}, "files": []}


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Make a configuration with an input file and a new output folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"text": "x"}\n')
    monkeypatch.chdir(tmp_path)

    def make(*settings: str) -> Config:
        paths = ('input.paths=["in/a.jsonl"]', "output.path=out")
        return load(None, [*paths, *settings])

    return make


@pytest.mark.parametrize("validate", [clean.validate, dedup.validate])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["dedup.bands=5"], r"^dedup\.bands = 5, dedup\.rows = 0: set both"),
        (["dedup.index=I", "dedup.verify=false"], r"^dedup\.verify = false: with dedup\.index = I"),
        (['dedup.keep=["quality"]'], r"^dedup\.keep = quality: no document has a score; name its column"),
        (['dedup.keep=["source"]'], r"^dedup\.keep = source and dedup\.sources = : .* set both$"),
        (['dedup.sources=["a"]'], r"^dedup\.keep = longest and dedup\.sources = a: .* set both$"),
    ],
)
def test_invalid_deduplication_is_refused_by_both_jobs(configured, validate, settings, message):
    validate(configured())
    with pytest.raises(ConfigError, match=message):
        validate(configured(*settings))


@pytest.mark.parametrize("validate", [clean.validate, dedup.validate])
def test_local_index_is_checked_before_spark_starts(configured, tmp_path, validate):
    index = tmp_path / "index"
    setting = f"dedup.index={index}"
    with pytest.raises(ManifestError, match=r"^dedup\.index = .*: has no manifest\.json.*jobs/add_to_index"):
        validate(configured(setting))
    index.mkdir()
    (index / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files that are no signature index"):
        validate(configured(setting))
    (index / "notes.txt").unlink()
    own = parameters(DedupConfig())._asdict()
    manifest.publish(str(index), Manifest(stage="signature_index", fingerprint="", config=own, **EMPTY))
    with pytest.raises(ManifestError, match="lacks what the manifest of a signature index holds"):
        validate(configured(setting))
    facts = {"buckets": 64, "generations": []}
    manifest.publish(
        str(index), Manifest(stage="signature_index", fingerprint="", config=own, facts=facts, **EMPTY)
    )
    validate(configured(setting))
    with pytest.raises(MismatchError, match=r"was made with dedup\.seed = 1, but 2 is asked for"):
        validate(configured(setting, "dedup.seed=2"))


def test_scores_come_from_a_column_a_model_or_an_earlier_run(configured, tmp_path):
    keep = 'dedup.keep=["quality"]'
    dedup.validate(configured(keep, "input.columns.quality=score"))
    dedup.validate(configured(keep, "dedup.run=R", "input.paths=[]"))
    clean.validate(configured(keep, "input.columns.quality=score"))
    (tmp_path / "model.bin").write_bytes(b"")
    clean.validate(configured(keep, "filters.quality_model=model.bin"))
    with pytest.raises(ConfigError, match="no document has a score"):
        dedup.validate(configured(keep, "filters.quality_model=model.bin"))


def test_texts_are_not_cut_without_documents(configured):
    settings = ['decontamination.paths=["in/a.jsonl"]', "dedup.output=duplicates"]
    dedup.validate(configured(*settings))
    with pytest.raises(ConfigError, match=r"^decontamination\.action = cut: changes texts, but [^\n]*$"):
        dedup.validate(configured(*settings, "decontamination.action=cut"))


@pytest.mark.parametrize("setting", ["dedup.output=duplicates", "dedup.run=R"])
def test_clean_refuses_settings_of_the_other_job(configured, setting):
    key, _, value = setting.partition("=")
    with pytest.raises(ConfigError, match=rf"^{key} = {value}: clean always [^\n]*jobs/dedup\.py$"):
        clean.validate(configured(setting))


@pytest.mark.parametrize("setting", ["dedup.lines.min_documents=100", "dedup.substrings.min_words=50"])
def test_repeated_text_is_not_searched_for_without_documents(configured, setting):
    dedup.validate(configured(setting))
    key, _, value = setting.partition("=")
    with pytest.raises(
        ConfigError, match=rf"^{key} = {value}: [^\n]*; set dedup\.output=documents or {key}=0$"
    ):
        dedup.validate(configured(setting, "dedup.output=duplicates"))


@pytest.mark.parametrize("validate", [clean.validate, dedup.validate])
@pytest.mark.parametrize(
    ("paths", "out"),
    [
        ("in", "in"),
        ("in", "in/out"),
        ("in/*", "in/out"),
        ("run/documents", "run"),
        ("s3://b/in", "s3://b/in/out"),
        ("s3://b/run/documents/*", "s3://b/run"),
    ],
)
def test_outputs_that_overlap_with_inputs_are_refused_at_the_start(
    configured, tmp_path, validate, paths, out
):
    document = tmp_path / "run" / "documents" / "part.jsonl"
    document.parent.mkdir(parents=True)
    document.write_text('{"text": "x"}\n')
    with pytest.raises(
        OutputError, match=r"^[^\n]*(would replace it|would read the output); name another fo"
    ):
        validate(configured(f'input.paths=["{paths}"]', f"output.path={out}", "output.overwrite=true"))
    assert document.exists()


@pytest.mark.parametrize(
    ("paths", "out"),
    [("in", "out"), ("in/*.jsonl", "in/out"), ("run/raw", "run"), ("s3://b/in", "s3://b/in2")],
)
def test_outputs_beside_inputs_are_accepted(configured, tmp_path, paths, out):
    (tmp_path / "run" / "raw").mkdir(parents=True)
    (tmp_path / "run" / "raw" / "a.jsonl").write_text('{"text": "x"}\n')
    dedup.validate(configured(f'input.paths=["{paths}"]', f"output.path={out}", "output.overwrite=true"))


def finished_run(folder, config, base=""):
    """Publish a run; if it decided about the run in the folder ``base``, without records of its own."""
    stage = Stage("dedup", str(folder), config=config.model_dump(mode="json"), inputs=[base])
    stage.begin()
    (folder / ("documents" if base else RECORDS)).mkdir(parents=True)
    stage.publish({"kept": 1}, [], {"run": manifest.read(base, "dedup").sha256()} if base else {})


@pytest.mark.parametrize(
    ("run", "out", "error", "message"),
    [
        (
            "run",
            "run/",
            ConfigError,
            r"^dedup\.run = run: would be replaced by the output; name another output\.path$",
        ),
        ("run", "run/documents", OutputError, "^/.*/run/documents: lies in what is read"),
        (
            "run/documents/x",
            "run",
            OutputError,
            "^/.*/run/documents/x.* is read, but the output in .*/run would",
        ),
        ("again", "run", OutputError, "^/.*/run/analysis/records: is read, but the output in .*/run would"),
    ],
)
def test_a_run_is_not_replaced_by_decisions_about_it(configured, tmp_path, run, out, error, message):
    """The run ``again`` uses the records of ``run``."""
    finished_run(tmp_path / "run", configured())
    finished_run(tmp_path / "run" / "documents" / "x", configured())
    finished_run(tmp_path / "again", configured(), str(tmp_path / "run"))
    before = sorted(tmp_path.rglob("*"))
    settings = ("input.paths=[]", f"dedup.run={run}", f"output.path={out}", "output.overwrite=true")
    with pytest.raises(error, match=message):
        dedup.dedup(None, configured(*settings))
    assert sorted(tmp_path.rglob("*")) == before
