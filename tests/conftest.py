"""Shared fixtures: a local Spark session, and real servers on loopback.

Each is started once per test run, on first use.
"""

from collections.abc import Iterator

import hypothesis
import pytest
import setuptools  # noqa: F401  (torch.compile imports it, which fails late in a long run, when distutils is loaded)
from pyspark.sql import SparkSession

from core.config import Config
from pipeline.spark.session.builder import session
from tests import archive as archives
from tests.commands import SHORT_LIVED
from tests.servers.hdfs import hdfs_server
from tests.servers.s3 import s3_server
from tests.servers.standalone import spark_cluster

# Examples may take long on a machine that does other work; benchmarks show speed.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session as jobs create it, on two cores."""
    with pytest.MonkeyPatch.context() as patch:
        options = f"--master local[2] --driver-memory 1g --driver-java-options '{SHORT_LIVED}'"
        patch.setenv("PYSPARK_SUBMIT_ARGS", f"{options} pyspark-shell")
        spark = session(Config(), "tests")
    yield spark
    spark.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``s3://bucket`` of a running server, for which the ``AWS_*`` variables are set."""
    with s3_server(tmp_path_factory.mktemp("s3")) as root:
        yield root


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``hdfs://host:port`` of a running NameNode with one DataNode."""
    with hdfs_server(tmp_path_factory.mktemp("hdfs")) as root:
        yield root


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``spark://host:port`` of a running standalone cluster with two workers."""
    with spark_cluster(tmp_path_factory.mktemp("cluster")) as master:
        yield master


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> archives.Archive:
    """The archive of ``make dist``, and a Python without packages."""
    return archives.build(tmp_path_factory.mktemp("archive"))
