"""The Spark session of every job: the settings that matter, each with its reason.

A job runs under ``spark-submit`` (``--master`` and memory are given there) or plainly as ``python jobs/x.py``
on all cores of this machine. Whatever ``--conf`` or ``spark-defaults.conf`` sets wins over what is set here.

**Memory** of the driver is fixed when its JVM starts, for ``spark-submit`` before this module is even read:
give ``--driver-memory``, or ``SPARK_CONF_DIR=pipeline/spark/session/conf``, whose ``spark-defaults.conf`` suits a
laptop and which also quietens the launcher. Without ``spark-submit`` that folder is used of itself.

**Executors** need this package and its dependencies: installed there, or shipped by ``--archives
environment.tar.gz#environment`` with ``PYSPARK_PYTHON=./environment/bin/python``. A zip for ``--py-files``
will not do: word lists and models are read as files. ``PYSPARK_PYTHON`` defaults to the driver's own
interpreter.

**S3** is spoken by Spark through S3A, which its distribution lacks. If the cluster has it (or ``--packages
org.apache.hadoop:hadoop-aws:…`` was given) that is used; else 13 MB of jars are downloaded once and go
to the executors with the job. Server and credentials are those of the ``AWS_*`` variables, for S3A and Python
alike. Parquet is committed by the file committer: what binds S3A's magic committer to Spark
(``spark-hadoop-cloud``) is not published for this version, and the manifest, written last, decides what
exists.
"""

import os
import sys
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from core.config import Config
from core.errors import InputError
from pipeline.readers import commoncrawl
from pipeline.spark.session import jars, java

HADOOP = "3.5.0"
"""The Hadoop that our S3A belongs to: the one in the pyspark package."""

SETTINGS = {
    # A page is some kilobytes: batches of ten megabytes, not of a hundred, cross to Python.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    # Not INT96, which other readers take for nanoseconds.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
    "spark.log.level": "WARN",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "true",
}

LOCAL_SETTINGS = {
    # One process on one machine: nothing listens on its network, and a changing host name does no harm.
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # Empty shuffle partitions cost a task each where adaptive execution cannot merge them.
    "spark.sql.shuffle.partitions": "16",
}

S3A_OPTIONS = {
    "AWS_ACCESS_KEY_ID": "fs.s3a.access.key",
    "AWS_SECRET_ACCESS_KEY": "fs.s3a.secret.key",
    "AWS_SESSION_TOKEN": "fs.s3a.session.token",
    "AWS_DEFAULT_REGION": "fs.s3a.endpoint.region",
    "AWS_REGION": "fs.s3a.endpoint.region",
    "AWS_ENDPOINT_URL": "fs.s3a.endpoint",
    "AWS_ENDPOINT_URL_S3": "fs.s3a.endpoint",
}
"""What each standard variable is called by S3A; a later one wins, as in Amazon's own clients."""


def session(config: Config, name: str) -> SparkSession:
    """The session of the job ``name`` over the paths in ``config``; the caller stops it.

    Raises :class:`InputError` if there is no Java, or no S3A where a path is ``s3://``.
    """
    _start_java()
    conf = SparkConf()
    settings = dict(SETTINGS)
    if conf.get("spark.master", "local[*]").startswith("local"):
        settings |= LOCAL_SETTINGS
    if not sys.stderr.isatty():
        settings["spark.ui.consoleProgress.update.interval"] = "10s"  # a log file needs fewer
    if any(path.startswith("s3://") for path in _places(config)):
        settings |= _s3_settings() | _add_s3a(conf)
    for key, value in settings.items():
        conf.setIfMissing(key, value)
    return SparkSession.builder.config(conf=conf).appName(name).getOrCreate()


def _places(config: Config) -> list[str]:
    """All that a job reads or writes."""
    places = [*config.input.paths, config.input.index.path, config.output.path]
    if config.input.index.path or any(path.startswith(commoncrawl.SCHEME) for path in places):
        places.append(config.input.commoncrawl)
    return [path.removeprefix(commoncrawl.SCHEME) for path in places]


def end_session() -> None:
    """Stop the active session, if any, so that what is printed next starts on a line of its own.

    Spark draws its progress bar without a line end and leaves it there when a job fails.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        return
    context = spark.sparkContext._jsc
    bar = context.sc().progressBar() if context is not None else None
    spark.stop()
    if bar is not None and bar.isDefined():
        bar.get().finishAll()  # erases the bar in a terminal
        if not sys.stderr.isatty():  # a log file, or the pipe through which spark-submit reads this process
            print(file=sys.stderr)


def _start_java() -> None:
    """Start the driver's JVM, unless ``spark-submit`` or an earlier session did."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        os.environ["JAVA_HOME"] = java.java_home()
        if "SPARK_HOME" not in os.environ:
            os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).with_name("conf")))
    SparkContext._ensure_initialized()  # no public call starts the JVM without a context


def _s3_settings() -> dict[str, str]:
    """What the ``AWS_*`` variables say, for S3A and for the executors' Python."""
    settings = {
        # Version 1 copies everything once more at the end, in the driver. What version 2 risks (files of a
        # job that failed half-way) the manifest guards against.
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    }
    for variable, option in S3A_OPTIONS.items():
        if value := os.environ.get(variable):
            settings[f"spark.hadoop.{option}"] = value
            settings[f"spark.executorEnv.{variable}"] = value
    if "spark.hadoop.fs.s3a.endpoint" in settings:
        settings["spark.hadoop.fs.s3a.path.style.access"] = "true"
        settings.setdefault("spark.hadoop.fs.s3a.endpoint.region", "us-east-1")
    return settings


def _add_s3a(conf: SparkConf) -> dict[str, str]:
    """Make S3A known to the driver's class loader, and the setting that ships it to the executors."""
    jvm = SparkContext._jvm
    assert jvm is not None
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    if loader.getResource("org/apache/hadoop/fs/s3a/S3AFileSystem.class") is not None:
        return {}
    version = jvm.org.apache.hadoop.util.VersionInfo.getVersion()
    if version != HADOOP:
        raise InputError(
            f"s3://: this Spark has Hadoop {version} without S3A, and Gristmill brings it for {HADOOP}; run "
            f"spark-submit with --packages org.apache.hadoop:hadoop-aws:{version}"
        )
    paths = jars.fetch(jars.S3A)
    for path in paths:
        loader.addURL(jvm.java.io.File(path).toURI().toURL())
    listed = conf.get("spark.jars") or ""
    conf.set("spark.jars", ",".join([*filter(None, listed.split(",")), *paths]))
    return {}
