"""HDFS on loopback: a NameNode and a DataNode, each the plain Java main that a real cluster runs.

Their classes are in one jar (54 MB, kept in the user's cache); the rest comes with pyspark, whose Hadoop is
the same version.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hdfs_native
import pyspark

from pipeline.spark.session import jars
from pipeline.spark.session.java import java_home
from tests.commands import SHORT_LIVED
from tests.servers.process import free_port, running, wait_until

LISTING = Path(__file__).with_name("hdfs.txt")
NEEDED = ("hadoop-client-", "log4j-", "slf4j-", "jcl-over-slf4j")
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"


@contextmanager
def hdfs_server(folder: Path) -> Iterator[str]:
    """Format and serve an empty file system with its blocks below ``folder``; yields ``hdfs://host:port``."""
    authority = f"127.0.0.1:{free_port()}"
    options = [f"-D{key}={value}" for key, value in _settings(folder, authority).items()]
    java = _java()
    empty = [*java, NAMENODE, *options, "-format", "-nonInteractive"]
    subprocess.run(empty, check=True, capture_output=True, timeout=120)
    with ExitStack() as stack:
        for main in (NAMENODE, DATANODE):
            log = folder / f"{main.rpartition('.')[2].lower()}.log"
            process = stack.enter_context(running([*java, main, *options], log))
        wait_until(lambda: _takes_files(authority), process, log, 120)
        yield f"hdfs://{authority}"


def _java() -> list[str]:
    libraries = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    classpath = [*jars.fetch(LISTING), *(str(jar) for jar in libraries if jar.name.startswith(NEEDED))]
    java = [str(Path(java_home()) / "bin" / "java"), "-Xmx256m", *SHORT_LIVED.split()]
    return [*java, "-Dlog4j2.level=info", "-cp", os.pathsep.join(classpath)]


def _settings(folder: Path, authority: str) -> dict[str, str]:
    """Everything on loopback, one replica, and no waiting for other nodes."""
    anywhere = "127.0.0.1:0"
    return {
        "fs.defaultFS": f"hdfs://{authority}",
        "dfs.namenode.rpc-address": authority,
        "dfs.namenode.http-address": anywhere,
        "dfs.namenode.name.dir": f"file://{folder}/name",
        "dfs.namenode.safemode.extension": "0",
        "dfs.datanode.address": anywhere,
        "dfs.datanode.ipc.address": anywhere,
        "dfs.datanode.http.address": anywhere,
        "dfs.datanode.data.dir": f"file://{folder}/data",
        "dfs.permissions.enabled": "false",
        "dfs.replication": "1",
    }


def _takes_files(authority: str) -> bool:
    try:
        client = hdfs_native.Client(f"hdfs://{authority}")
        with client.create("/ready", hdfs_native.WriteOptions(overwrite=True)) as file:
            file.write(b"yes")
        return bool(client.delete("/ready"))
    except Exception:  # hdfs-native raises its own kinds while a node is not up yet
        return False
