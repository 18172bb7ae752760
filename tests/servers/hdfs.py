"""HDFS on loopback: a NameNode and DataNodes, started through the Java main classes of a real cluster."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hdfs_native

from tests.servers.hadoop import java
from tests.servers.process import free_port, running, wait_until

NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
ADMIN = "org.apache.hadoop.hdfs.tools.DFSAdmin"
START_SECONDS = 120


class HdfsCluster:
    """A running cluster whose nodes can be killed, started again and damaged."""

    def __init__(self, folder: Path, datanodes: int = 1, replication: int = 1) -> None:
        """Format an empty file system, with the blocks of each DataNode in a folder below ``folder``."""
        self._folder, self._replication, self._count = folder, replication, datanodes
        self._authority = f"127.0.0.1:{free_port()}"
        self._http = f"127.0.0.1:{free_port()}"
        self.url = f"hdfs://{self._authority}"
        self._java = java()
        self._nodes: dict[str, tuple[ExitStack, subprocess.Popen[bytes]]] = {}
        self._run(NAMENODE, "-format", "-nonInteractive")

    def start(self) -> None:
        """Start all nodes and wait until files can be written."""
        self._start(NAMENODE, "namenode")
        for number in range(self._count):
            self._start(DATANODE, f"datanode-{number}")
        self._wait("datanode-0")

    def stop(self) -> None:
        """Stop all nodes."""
        for stack, _ in self._nodes.values():
            stack.close()
        self._nodes = {}

    def kill_datanode(self, number: int) -> None:
        """Kill a DataNode, as if its machine were lost."""
        self._kill(f"datanode-{number}")

    def start_datanode(self, number: int) -> None:
        """Start a killed DataNode and wait until it has reported its blocks."""
        self._start(DATANODE, f"datanode-{number}")
        self._wait(f"datanode-{number}")

    def kill_namenode(self) -> None:
        """Kill the NameNode."""
        self._kill("namenode")

    def start_namenode(self) -> None:
        """Start the NameNode, which is in safe mode until the DataNodes have reported; wait for that."""
        self._start(NAMENODE, "namenode")
        self._wait("namenode")

    def set_safe_mode(self, on: bool) -> None:
        """Let the NameNode refuse all changes, or no longer."""
        self._run(ADMIN, "-safemode", "enter" if on else "leave")

    def corrupt(self, data: bytes, copies: int) -> dict[Path, bytes]:
        """Change a byte of blocks on disk whose content is ``data``, at most ``copies``; return their bytes.

        Blocks are found by content, so that files of one block can be damaged. Of several files with the same
        content, the one that was written last is.
        """
        blocks = self._folder.glob("data-*/current/BP-*/current/finalized/**/blk_*")
        same = [each for each in blocks if each.suffix != ".meta" and each.read_bytes() == data]
        newest = max(
            (each.name for each in same), key=lambda name: int(name.removeprefix("blk_")), default=""
        )
        found = sorted(each for each in same if each.name == newest)[:copies]
        for block in found:
            _flip_middle(block)
        return {block: block.read_bytes() for block in found}

    def repair(self, damaged: dict[Path, bytes]) -> None:
        """Undo :meth:`corrupt`, and let the NameNode forget which blocks were damaged."""
        for block, data in damaged.items():
            if block.exists() and block.read_bytes() == data:  # it has not been replaced by a copy
                _flip_middle(block)
        self.kill_namenode()
        self.start_namenode()

    def _start(self, main: str, name: str) -> None:
        stack, options = ExitStack(), self._options(name)
        process = stack.enter_context(running([*self._java, main, *options], self._folder / f"{name}.log"))
        self._nodes[name] = stack, process

    def _kill(self, name: str) -> None:
        stack, process = self._nodes.pop(name)
        process.kill()
        stack.close()

    def _wait(self, name: str) -> None:
        process = self._nodes[name][1]
        expected = sum(each != "namenode" for each in self._nodes)

        def is_ready() -> bool:
            return self._live_datanodes() >= expected and _is_writable(self._authority)

        wait_until(is_ready, process, self._folder / f"{name}.log", START_SECONDS)

    def _live_datanodes(self) -> int:
        """Return the number of DataNodes that the NameNode holds for alive, 0 while it starts."""
        url = f"http://{self._http}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return int(json.load(response)["beans"][0]["NumLiveDataNodes"])
        except (urllib.error.URLError, OSError, LookupError, ValueError):
            return 0

    def _run(self, main: str, *arguments: str) -> None:
        command = [*self._java, main, *self._options("namenode"), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS)

    def _options(self, name: str) -> list[str]:
        """Return settings for loopback addresses and an immediate end of safe mode."""
        free_address = "127.0.0.1:0"
        settings = {
            "fs.defaultFS": self.url,
            "dfs.namenode.rpc-address": self._authority,
            "dfs.namenode.http-address": self._http,
            "dfs.namenode.name.dir": f"file://{self._folder}/name",
            "dfs.namenode.safemode.extension": "0",
            "dfs.datanode.address": free_address,
            "dfs.datanode.ipc.address": free_address,
            "dfs.datanode.http.address": free_address,
            "dfs.datanode.data.dir": f"file://{self._folder}/data-{name.rpartition('-')[2]}",
            "dfs.heartbeat.interval": "1",
            "dfs.permissions.enabled": "false",
            "dfs.replication": str(self._replication),
        }
        return [f"-D{key}={value}" for key, value in settings.items()]


@contextmanager
def hdfs_cluster(folder: Path, datanodes: int = 1, replication: int = 1) -> Iterator[HdfsCluster]:
    """Run a cluster during the block."""
    cluster = HdfsCluster(folder, datanodes, replication)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def hdfs_server(folder: Path) -> Iterator[str]:
    """Run a cluster with one DataNode, empty at first; yield its ``hdfs://host:port``."""
    with hdfs_cluster(folder) as cluster:
        yield cluster.url


def _flip_middle(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


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
    command = [*java(), "org.apache.hadoop.hdfs.tools.DFSAdmin", "-fs", root, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
