"""Values that are written wrong: the message says what is wrong and what to write."""

import pytest

from core import config
from core.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "dedup.near=False",
            "dedup.near = 'False': booleans are true or false in TOML; write dedup.near = false",
        ),
        ("dedup.near=yes", "write dedup.near = true"),
        ("dedup.near=1", "dedup.near = 1: booleans are true or false in TOML; write dedup.near = true"),
        ("dedup.near=maybe", "write dedup.near = true or false"),
        ("train.steps=1e9", "write train.steps = 1000000000 (TOML integers have no quotes, unit, exponent"),
        ("train.steps=1e9", "1_000_000_000 is the same"),
        ("train.steps=1.5", "train.steps = 1.5: must be an integer; write a whole number"),
        ("train.steps=1,000", "write train.steps = 1000 ("),
        ("train.steps=10k", "write train.steps = 10000 ("),
        ('train.steps="100"', "train.steps = '100': must be an integer; write train.steps = 100 ("),
        (
            "train.steps=inf",
            "train.steps = Infinity: must be an integer; write train.steps = 100, for example",
        ),
        ("train.steps=", "train.steps = '': must be an integer"),
        ("train.steps=true", "train.steps = true: must be an integer"),
        (
            "train.steps=many",
            "train.steps = 'many': must be an integer; write train.steps = 100, for example",
        ),
        ('input.paths=["a", ""]', "a path must not be empty; write . for the current folder"),
        ("train.steps=0", "train.steps = 0: must be at least 1"),
        (
            "dedup.lines.min_documents=1",
            "min_documents = 1: must be 0 or at least 2: 1 would remove every line",
        ),
        ("pack.validation_share=1", "pack.validation_share = 1: must be less than 1; "),
        ("pack.validation_share=1%", "must be a number; write pack.validation_share = 0.01"),
        ("train.learning_rate=0,5", "must be a number; write train.learning_rate = 0.5"),
        ("train.learning_rate=nan", "train.learning_rate = nan: must be a number"),
        ("serve.request_seconds=30s", "write serve.request_seconds = 30"),
        ("train.mixture.web=0", "train.mixture.web = 0: must be greater than 0"),
        ("train.mixture={web:0.5}", "must be a table; write its keys below [train.mixture], or one by one: "),
        (
            "input.format=WARC",
            "must be one of auto, warc, wikipedia, books, jsonl, parquet; the nearest is warc",
        ),
        ("dedup.preset=nemo", "must be one of fineweb, refinedweb, redpajama; the nearest is fineweb"),
        (f"dedup.seed={1 << 64}", "must be less than 18446744073709551616; "),
        ('decontamination.paths=[""]', "a name must not be empty; remove it from the list"),
        ('decontamination.fields=["a", ""]', "a name must not be empty; remove it from the list"),
        ('finetune.lora.targets=["q"]', "finetune.lora.targets[0] = 'q': must be one of query, key, "),
        (
            "input.paths=a.gz",
            'must be a list; write input.paths = ["a.gz"], on the command line --set \'input',
        ),
        ("input.paths=[a.gz,b]", 'must be a list; write input.paths = ["a.gz", "b"], on the command line'),
        ("output.path=2024", 'must be a string; write output.path = "2024", on the command line --set \'out'),
        ("train.steps=1,train.seed=2", "names two keys; repeat --set for each: --set train.seed=…"),
        ("input.columns=3", "input.columns = 3: is a section; write its keys below [input.columns], or"),
        ("model.head_size=7", "even head size unless head_size is set"),
        ("model.global_layers=[0]", "must be from 0 to 11, each once, and needs sliding_window; correct it"),
        (
            "model.nope_layers=[12]",
            'must be from 0 to 11, each once, and needs architecture = "llama"; correct it',
        ),
        ("model.num_heads=5", "num_kv_heads must divide num_heads; change one of them"),
        ("finetune.files=[1]", "finetune.files[0] = 1: must be a string or a list; "),
        ('finetune.files=[["a"]]', "finetune.files[0][1] is missing"),
        ('classifier.sets=[{name="a"}]', "classifier.sets[0].language is missing: it must be given; add it"),
        (
            "filters.thresholds.gopher.few_words=2",
            "gopher is not the name of a condition; names contain a dot",
        ),
        ("filters.thresholds.gopher.few_words=2", "--set 'filters.thresholds.\"gopher.few_words\"=…'"),
        ("filters.thresholds.words=2", "words is not the name of a condition"),
        ('filters.thresholds={"a.b"="x"}', "filters.thresholds.\"a.b\" = 'x': must be a number or a table; "),
        ('filters.thresholds={"a.b"={de="x"}}', "filters.thresholds.\"a.b\".de = 'x': must be a number; "),
        (
            'output.path="C:\\temp"',
            "\\ begins an escape in double quotes; write the path with / or in single",
        ),
        ("input.split_bytes=128 megs", 'write "128MiB" (2^20) or "128MB" (10^6)'),
        ("input.split_bytes=1.5B", "must be a whole number of bytes"),
        ("input.split_bytes=1KiB", "input.split_bytes = 1024: must be at least 65536"),
        ("input.split_bytes=1e9", "write input.split_bytes = 1000000000 ("),
    ],
)
def test_message_says_what_to_write(override, message):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as caught:
        config.load(None, [override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("134217728", 1 << 27),
        ('"134217728"', 1 << 27),
        ("128MiB", 1 << 27),
        ("128 MiB", 1 << 27),
        ("128mib", 1 << 27),
        ("128MB", 128_000_000),
        ("1.5GiB", 3 << 29),
        ("0.1GB", 100_000_000),
        ("1TB", 10**12),
        ("99999b", 99_999),
    ],
)
def test_sizes_take_units(text, size):
    loaded = config.load(
        None, [f"input.split_bytes={text}", "extraction.max_bytes=1KiB", "serve.body_bytes=2MB"]
    )
    assert loaded.input.split_bytes == size
    assert (loaded.extraction.max_bytes, loaded.serve.body_bytes) == (1024, 2_000_000)
    assert config.resolved(loaded, "input")["input"]["split_bytes"] == size


def test_infinite_values_are_allowed_where_they_mean_no_limit():
    assert config.load(None, ["train.clip_norm=inf"]).train.clip_norm == float("inf")
    with pytest.raises(ConfigError, match=r"^train\.mixture\.web = Infinity: must be a finite number"):
        config.load(None, ["train.mixture.web=inf"])


@pytest.mark.parametrize("path", ["s3://bucket/run.log", "hdfs://host/run.log"])
def test_the_log_file_is_local(path):
    with pytest.raises(ConfigError, match="must be a local path, because lines are appended"):
        config.load(None, [f"output.log_file={path}"])
    assert config.load(None, ["output.log_file=file:///a/run.log"]).output.log_file == "file:///a/run.log"


def test_the_log_file_is_not_in_the_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    paths = ("out/run.log", f"{tmp_path}/out/logs/run.log", f"file://{tmp_path}/out/run.log", "link/run.log")
    for path in (*paths, "out"):
        with pytest.raises(ConfigError) as caught:
            config.load(None, ["output.path=out/", f"output.log_file={path}"])
        message = str(caught.value)
        assert message.startswith("output.log_file = ") and ": must not be in output.path" in message
        assert message.endswith("; name a file elsewhere, such as out.log")
    for folder, path in (("out", "out.log"), ("out", "run.log"), ("s3://out", "s3/run.log"), ("", "run.log")):
        config.load(None, [f"output.path={folder}", f"output.log_file={path}"])


@pytest.mark.parametrize(
    ("override", "start", "remedy"),
    [
        ('input.paths=["a","https://user:pa55word@host/x"]', "input.paths[1] = https://…@…", "FSSPEC_HTTPS="),
        ("input.paths=https://pa55word@host/x", "input.paths = https://…@…", "FSSPEC_HTTPS="),
        ("input.paths=['commoncrawl:http://u:pa55word@h/x']", "commoncrawl:http://…@…", "FSSPEC_HTTPS="),
        ("output.path=s3://key:pa55word@bucket/x", "output.path = s3://…@…", "set AWS_ACCESS_KEY_ID and"),
        ("output.path=s3://key:pa55/word@bucket/x", "output.path = s3://…@…", "set AWS_ACCESS_KEY_ID and"),
        ("output.path=hdfs://pa55word@name/x", "output.path = hdfs://…@…", "set HADOOP_USER_NAME"),
        ("input.paths=['https://user:pa55/word@host']", "input.paths[0] = https://…@…", "FSSPEC_HTTPS="),
        ("input.paths=['  https://u:pa55word@h/x']", "input.paths[0] = https://…@…", "FSSPEC_HTTPS="),
        ("input.paths=['filecache::https://u:pa55word@h/x']", " = https://…@…", "FSSPEC_HTTPS="),
        ("input.paths=['zip://a.json::https://u:pa55word@h/x']", " = https://…@…", "FSSPEC_HTTPS="),
        ("input.paths=['abfss://user:pa55word@host/x']", " = abfss://…@…", "remove it, and set"),
    ],
)
def test_credentials_in_addresses_are_refused_without_showing_them(override, start, remedy):
    with pytest.raises(ConfigError) as caught:
        config.load(None, [override])
    message = str(caught.value)
    assert start in message and remedy in message
    assert "pa55" not in message and "\n" not in message


@pytest.mark.parametrize(
    "override",
    [
        "input.paths=['https://host/a@b', 's3://bucket/x@1', 'user@host', '/a://b@c']",
        "input.paths=['http://host:80', 'https://host:8080/x:y@z', 'http://[::1]:80/x', 'hdfs://host:9000/']",
        "input.paths=['commoncrawl:CC-MAIN-2024-51/wet', 'commoncrawl:https://host:1/paths.gz']",
        "input.paths=['abfss://container@account.dfs.core.windows.net/x', 'wasbs://c@a.net/x']",
        "input.paths=['s3://arn:aws:s3:us-west-2:123456789012:accesspoint/ap/key@1']",
        "input.paths=['hdfs://namenode:9OOO/x', 'filecache::https://host/a@b', 'zip://a::http://host/a@b']",
    ],
)
def test_other_addresses_are_accepted(override):
    config.load(None, [override])
