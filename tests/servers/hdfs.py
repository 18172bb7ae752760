"""HDFS on loopback: a NameNode and a DataNode, started through the Java main classes of a real cluster.

Their classes are in one jar (54 MB, kept in the user's cache). The other jars come with pyspark, whose Hadoop
version is the same.
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
REQUIRED_JARS = ("hadoop-client-", "log4j-", "slf4j-", "jcl-over-slf4j")
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"


@contextmanager
def hdfs_server(folder: Path) -> Iterator[str]:
    """Format and serve an empty file system with its blocks below ``folder``; yield ``hdfs://host:port``."""
    authority = f"127.0.0.1:{free_port()}"
    options = [f"-D{key}={value}" for key, value in _settings(folder, authority).items()]
    java = _java()
    format_command = [*java, NAMENODE, *options, "-format", "-nonInteractive"]
    subprocess.run(format_command, check=True, capture_output=True, timeout=120)
    with ExitStack() as stack:
        for main in (NAMENODE, DATANODE):
            log = folder / f"{main.rpartition('.')[2].lower()}.log"
            process = stack.enter_context(running([*java, main, *options], log))
        wait_until(lambda: _is_writable(authority), process, log, 120)
        yield f"hdfs://{authority}"


def _java() -> list[str]:
    libraries = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    classpath = [*jars.fetch(LISTING), *(str(jar) for jar in libraries if jar.name.startswith(REQUIRED_JARS))]
    java = [str(Path(java_home()) / "bin" / "java"), "-Xmx256m", *SHORT_LIVED.split()]
    return [*java, "-Dlog4j2.level=info", "-cp", os.pathsep.join(classpath)]


def _settings(folder: Path, authority: str) -> dict[str, str]:
    """Return settings for loopback addresses, one replica and an immediate end of safe mode."""
    free_address = "127.0.0.1:0"
    return {
        "fs.defaultFS": f"hdfs://{authority}",
        "dfs.namenode.rpc-address": authority,
        "dfs.namenode.http-address": free_address,
        "dfs.namenode.name.dir": f"file://{folder}/name",
        "dfs.namenode.safemode.extension": "0",
        "dfs.datanode.address": free_address,
        "dfs.datanode.ipc.address": free_address,
        "dfs.datanode.http.address": free_address,
        "dfs.datanode.data.dir": f"file://{folder}/data",
        "dfs.permissions.enabled": "false",
        "dfs.replication": "1",
    }


def _is_writable(authority: str) -> bool:
    try:
        client = hdfs_native.Client(f"hdfs://{authority}")
        with client.create("/ready", hdfs_native.WriteOptions(overwrite=True)) as file:
            file.write(b"yes")
        return bool(client.delete("/ready"))
    except Exception:  # hdfs-native raises various errors until the node is ready
        return False


def administer(root: str, *arguments: str) -> None:
    """Run Hadoop's administration command for a running server, such as ``-safemode enter``."""
    command = [*_java(), "org.apache.hadoop.hdfs.tools.DFSAdmin", "-fs", root, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
