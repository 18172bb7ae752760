"""Build the Spark session of a job: the settings that matter, each with its reason.

A job runs under ``spark-submit``, which sets ``--master`` and memory, or as ``python jobs/x.py`` on all cores
of one machine. Settings from ``--conf`` or ``spark-defaults.conf`` take precedence over those here.

**Memory** of the driver is fixed when its JVM starts, which under ``spark-submit`` is before this module is
imported. Pass ``--driver-memory``, or set ``SPARK_CONF_DIR=pipeline/spark/session/conf``, whose
``spark-defaults.conf`` suits a laptop and whose logging configuration silences the launcher. Without
``spark-submit`` that folder is the default.

**Executors** need this package and its dependencies: either installed, or shipped by ``--archives
environment.tar.gz#environment`` with ``PYSPARK_PYTHON=./environment/bin/python``. ``--py-files`` with a zip
does not work, because word lists and models are read as files. ``PYSPARK_PYTHON`` defaults to the driver's
interpreter.

**S3** is accessed by Spark through S3A, which its distribution does not include. If the cluster provides it
(or ``--packages org.apache.hadoop:hadoop-aws:…`` does), that is used; otherwise 13 MB of jars are downloaded
once and shipped to the executors. Endpoint and credentials come from the ``AWS_*`` variables, for S3A and for
Python. Parquet is committed by the file committer: the library that connects S3A's magic committer with Spark
(``spark-hadoop-cloud``) is not published for this version, and only the manifest, written last, makes an
output exist.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from core.config import Config
from core.errors import InputError
from pipeline.readers import commoncrawl
from pipeline.spark.session import jars, java

HADOOP = "3.5.0"
"""Hadoop version of our S3A jars: the one in the pyspark package."""

SETTINGS = {
    # A page is some kilobytes, so that a batch of 1,000 is about ten megabytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    # Not INT96, which other readers interpret as nanoseconds.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
    # A task has one core; Hugging Face's tokenizers would use all of them.
    "spark.executorEnv.TOKENIZERS_PARALLELISM": "false",
    "spark.log.level": "WARN",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "true",
}

LOCAL_SETTINGS = {
    # Everything runs on one machine: do not listen on its network, nor depend on its host name.
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # Each empty shuffle partition that adaptive execution cannot merge costs a task.
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
"""S3A option of each standard variable. Later ones take precedence, as in Amazon's own clients."""


def session(config: Config, name: str) -> SparkSession:
    """Return a session for the job ``name`` and the paths in ``config``; the caller stops it.

    Raises :class:`InputError` if there is no Java, or if a path is ``s3://`` and S3A is not available.
    """
    _start_java()
    logging.getLogger().addFilter(_is_no_failed_call)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # its errors are raised, too
    conf = SparkConf()
    settings = dict(SETTINGS)
    if conf.get("spark.master", "local[*]").startswith("local"):
        settings |= LOCAL_SETTINGS
    if not sys.stderr.isatty():
        settings["spark.ui.consoleProgress.update.interval"] = "10s"  # fewer lines in a log file
    if uses_s3(config):
        settings |= _s3_settings() | _add_s3a(conf)
    for key, value in settings.items():
        conf.setIfMissing(key, value)
    spark = SparkSession.builder.config(conf=conf).appName(name).getOrCreate()
    _interrupt_quietly()
    return spark


def uses_s3(config: Config) -> bool:
    """True if Spark or its tasks may read or write on S3.

    Evaluation sets do not count: the driver reads them without Spark.
    """
    paths = [*config.input.paths, config.input.index.path, config.output.path]
    paths += [config.dedup.run, config.dedup.index]
    if config.input.index.path or any(path.startswith(commoncrawl.SCHEME) for path in paths):
        paths.append(config.input.commoncrawl)
    return any(path.removeprefix(commoncrawl.SCHEME).startswith("s3://") for path in paths)


def end_session() -> None:
    """Stop the active session, if any, so that what is printed next starts on a line of its own.

    Spark draws its progress bar without a line end and leaves it there when a job fails.
    """
    # After an interrupt, getActiveSession() is None: Py4J's next call runs in another thread of the JVM.
    spark = SparkSession._instantiatedSession
    if spark is None:
        return
    # Cancelled tasks would log errors. setLogLevel() leaves loggers with a level of their own as they are.
    jvm: Any = spark._jvm
    log4j = jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setAllLevels("", log4j.Level.OFF)
    context = spark.sparkContext._jsc
    bar = context.sc().progressBar() if context is not None else None
    spark.stop()
    if bar is not None and bar.isDefined():
        bar.get().finishAll()  # erases the bar in a terminal
        if not sys.stderr.isatty():  # a log file, or the pipe through which spark-submit reads this process
            print(file=sys.stderr)


def _interrupt_quietly() -> None:
    """Let Ctrl-C only raise KeyboardInterrupt. Spark's own handler cancels jobs, whose tasks log errors."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_no_failed_call(record: logging.LogRecord) -> bool:
    """False for the traceback that Py4J logs when a call fails or is interrupted. It also raises an error."""
    return not record.getMessage().endswith("while sending command.")


def _start_java() -> None:
    """Start the driver's JVM, unless ``spark-submit`` or an earlier session has started it."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        os.environ["JAVA_HOME"] = java.java_home()
        if "SPARK_HOME" not in os.environ:
            os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).with_name("conf")))
    SparkContext._ensure_initialized()  # there is no public way to start the JVM without a context


def _s3_settings() -> dict[str, str]:
    """Return the settings that pass the ``AWS_*`` variables to S3A and to Python on the executors."""
    settings = {
        # Version 1 copies everything again at the end, in the driver. The drawback of version 2, files left
        # by a failed job, is harmless, since the manifest decides what exists.
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
    """Add S3A to the driver's class loader, and to ``spark.jars``, which ships it to the executors."""
    jvm = SparkContext._jvm
    assert jvm is not None
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    if loader.getResource("org/apache/hadoop/fs/s3a/S3AFileSystem.class") is not None:
        return {}
    version = jvm.org.apache.hadoop.util.VersionInfo.getVersion()
    if version != HADOOP:
        raise InputError(
            f"s3://: this Spark has Hadoop {version} without S3A, and Gristmill provides it for {HADOOP}; "
            f"run spark-submit with --packages org.apache.hadoop:hadoop-aws:{version}"
        )
    paths = jars.fetch(jars.S3A)
    for path in paths:
        loader.addURL(jvm.java.io.File(path).toURI().toURL())
    listed = conf.get("spark.jars") or ""
    conf.set("spark.jars", ",".join([*filter(None, listed.split(",")), *paths]))
    return {}
