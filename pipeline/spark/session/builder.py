"""Build the Spark session of a job: the settings that matter, each with its reason.

A job runs under ``spark-submit``, which sets ``--master`` and memory, or as ``python jobs/x.py`` on all cores
of one machine. Settings from ``--conf`` or ``spark-defaults.conf`` take precedence over those here.

**Memory** of the driver is fixed when its JVM starts, which under ``spark-submit`` is before this module is
imported. Pass ``--driver-memory``, or set ``SPARK_CONF_DIR=pipeline/spark/session/conf``, whose
``spark-defaults.conf`` suits a laptop and whose logging configuration silences the launcher. Without
``spark-submit`` that folder is the default.

**Executors** need this package and its dependencies: either installed or shipped, as ``docs/cluster.md``
describes. ``PYSPARK_PYTHON`` defaults to the driver's interpreter.

**S3** is accessed by Spark through S3A, which its distribution does not include. If the cluster provides it
(or ``--packages org.apache.hadoop:hadoop-aws:…`` does), that is used; otherwise 13 MB of jars are downloaded
once and shipped to the executors. Endpoint and credentials come from the ``AWS_*`` variables, for S3A and for
Python. Parquet is committed by the file committer: the library that connects S3A's magic committer with Spark
(``spark-hadoop-cloud``) is not published for this version, and only the manifest, written last, makes an
output exist.
"""

import logging
import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # has no types
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from core.config import Config
from core.errors import InputError
from core.messages import USER_INFORMATION
from core.storage import locks
from pipeline.readers import commoncrawl
from pipeline.spark.session import jars, java, log_file
from pipeline.spark.steps import progress

HADOOP = "3.5.0"
"""Hadoop version of our S3A jars: the one in the pyspark package."""

SPARKS_BAR = "spark.ui.showConsoleProgress"

REDACTED = (
    r"(?i)secret|password|passwd|token|credential|authorization|private[._-]?key|access[._-]?key|api[._-]?key"
    rf"|account[._-]?key|sas[._-]?key|FSSPEC_|{USER_INFORMATION}"
)
"""Settings that Spark shows as redacted in its UI, event log and messages: their names or values match.

Spark's own pattern does not match ``AWS_ACCESS_KEY_ID``, nor a password in a URL.
"""

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
    "spark.redaction.regex": REDACTED,
    # Its ports are open to the network. docs/cluster.md says how to switch it on.
    "spark.ui.enabled": "false",
    # pipeline/spark/steps/progress.py shows the progress by names.
    SPARKS_BAR: "false",
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
    if shutil.which("pgrep") and Path("/proc/self").exists():
        # Resident sizes for run.json. Without these two, executors would log a warning.
        settings["spark.executor.processTreeMetrics.enabled"] = "true"
    if uses_s3(config):
        settings |= _s3_settings(conf) | _add_s3a(conf)
    settings |= {f"spark.executorEnv.{name}": value for name, value in _web_settings().items()}
    if _is_shell():
        conf.set(SPARKS_BAR, "false")
    for key, value in settings.items():
        conf.setIfMissing(key, value)
    conf.set(progress.SECONDS, "0" if conf.get(SPARKS_BAR) == "true" else str(config.output.progress_seconds))
    log_file.close_log()  # an earlier session's
    if config.output.log_file:
        conf.set(log_file.SETTING, log_file.open_log(config.output.log_file))
    spark = SparkSession.builder.config(conf=conf).appName(name).getOrCreate()
    if config.output.log_file:
        log_file.add_spark_messages(spark._jvm, log_file.configured(spark.sparkContext))
    _interrupt_quietly()
    _lose_java_quietly(spark.sparkContext)
    if _cancel_jobs not in locks.on_loss:
        locks.on_loss.append(_cancel_jobs)
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

    Spark draws its progress bar, if that is switched on, without a line end, and leaves it when a job fails.
    """
    if sys.exception() is None:  # otherwise the error is still to be printed, which belongs into the log
        log_file.close_log()
    # After an interrupt, getActiveSession() is None: Py4J's next call runs in another thread of the JVM.
    spark = SparkSession._instantiatedSession
    if spark is None:
        return
    with suppress(Py4JError, OSError):  # its Java process may have ended
        _stop(spark)


def _stop(spark: SparkSession) -> None:
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


def _cancel_jobs() -> None:
    """Cancel what runs on the cluster for a driver that another one has replaced."""
    if (context := SparkContext._active_spark_context) is not None:
        context.cancelAllJobs()


def _interrupt_quietly() -> None:
    """Let Ctrl-C only raise KeyboardInterrupt. Spark's own handler cancels jobs, whose tasks log errors."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _lose_java_quietly(context: Any) -> None:
    """Print no traceback when the JVM's connection to the server of accumulators ends with the JVM.

    The job reports the end of its JVM itself.
    """
    server = context._accumulatorServer
    if "handle_error" in vars(server):  # a session of the same context was returned before
        return
    report = server.handle_error

    def handle_error(request: Any, client: Any) -> None:
        if not isinstance(sys.exception(), (EOFError, ConnectionError)):
            report(request, client)

    server.handle_error = handle_error


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


def _is_shell() -> bool:
    """True if Spark was started as for an interactive shell, where it switches its progress bar on by itself.

    That is so without ``spark-submit``. A user may still ask for the bar, in ``PYSPARK_SUBMIT_ARGS``.
    """
    return "PYSPARK_GATEWAY_PORT" not in os.environ and SPARKS_BAR not in os.environ.get(
        "PYSPARK_SUBMIT_ARGS", ""
    )


def _web_settings() -> dict[str, str]:
    """Return fsspec's variables for web servers, such as ``FSSPEC_HTTPS`` with headers, by name."""
    return {name: value for name, value in os.environ.items() if name.startswith("FSSPEC_HTTP")}


def _s3_settings(conf: SparkConf) -> dict[str, str]:
    """Return the settings that pass the ``AWS_*`` variables to S3A and to Python on the executors.

    Variables that executors have from a secret of Kubernetes are not passed on, as they would be readable in
    the specifications of the pods.
    """
    settings = {
        # Version 1 copies everything again at the end, in the driver. The drawback of version 2, files left
        # by a failed job, is harmless, since the manifest decides what exists.
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    }
    for variable, option in S3A_OPTIONS.items():
        if value := os.environ.get(variable):
            settings[f"spark.hadoop.{option}"] = value
            if not conf.contains(f"spark.kubernetes.executor.secretKeyRef.{variable}"):
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
