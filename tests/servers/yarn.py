"""YARN on loopback: a ResourceManager and NodeManagers, with HDFS as the default file system."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from pipeline.spark.session.java import java_home
from tests.servers.hadoop import java
from tests.servers.process import free_port, running, wait_until

PACKAGE = "org.apache.hadoop.yarn.server"
RESOURCE_MANAGER = f"{PACKAGE}.resourcemanager.ResourceManager"
NODE_MANAGER = f"{PACKAGE}.nodemanager.NodeManager"
ADDRESSES = tuple(
    f"yarn.resourcemanager.{name}address"
    for name in ("", "scheduler.", "resource-tracker.", "admin.", "webapp.")
)
START_SECONDS = 120


class YarnCluster(NamedTuple):
    """A running cluster."""

    configuration: Path
    """Folder with Hadoop's XML configuration, for ``HADOOP_CONF_DIR``."""
    logs: Path
    """Folder below which each container has its ``stdout`` and ``stderr``."""

    def output(self, stream: str) -> str:
        """Return what all containers have written to ``stdout`` or ``stderr``."""
        return "\n".join(file.read_text(errors="replace") for file in sorted(self.logs.rglob(stream)))


@contextmanager
def yarn_cluster(folder: Path, file_system: str, nodes: int = 1) -> Iterator[YarnCluster]:
    """Run the cluster; ``file_system``: the ``hdfs://host:port`` that applications share.

    Containers get YARN's variables and none of this process, such as ``PYTHONPATH``.
    """
    addresses = {key: f"127.0.0.1:{free_port()}" for key in ADDRESSES}
    web = addresses["yarn.resourcemanager.webapp.address"]
    configuration = folder / "conf"
    configuration.mkdir()
    shared = {"fs.defaultFS": file_system, "hadoop.tmp.dir": f"{folder}/tmp", "dfs.replication": "1"}
    _write(configuration / "core-site.xml", shared)
    _write(configuration / "yarn-site.xml", SETTINGS | addresses)
    _write(configuration / "capacity-scheduler.xml", SCHEDULER)
    environment = {key: os.environ[key] for key in ("HOME", "PATH", "USER") if key in os.environ}
    environment |= {"JAVA_HOME": java_home(), "HADOOP_CONF_DIR": str(configuration)}
    with ExitStack() as stack:
        log = folder / "resourcemanager.log"
        command = [*java(configuration), RESOURCE_MANAGER]
        process = stack.enter_context(running(command, log, environment))
        started = []
        for number in range(nodes):
            options = [f"-D{key}={value}" for key, value in _node_settings(folder, number).items()]
            command = [*java(configuration), NODE_MANAGER, *options]
            node_log = folder / f"nodemanager-{number}.log"
            started.append((stack.enter_context(running(command, node_log, environment)), node_log))
        wait_until(partial(_has_nodes, web, 0), process, log, START_SECONDS)
        for number, (node, node_log) in enumerate(started, 1):
            wait_until(partial(_has_nodes, web, number), node, node_log, START_SECONDS)
        yield YarnCluster(configuration, folder / "containers")


SETTINGS = {
    "yarn.resourcemanager.hostname": "127.0.0.1",
    "yarn.resourcemanager.scheduler.class": f"{PACKAGE}.resourcemanager.scheduler.capacity.CapacityScheduler",
    "yarn.resourcemanager.am.max-attempts": "1",
    "yarn.scheduler.minimum-allocation-mb": "128",
    "yarn.nodemanager.resource.memory-mb": "2560",
    "yarn.nodemanager.resource.cpu-vcores": "4",
    # A JVM reserves far more addresses than it uses.
    "yarn.nodemanager.vmem-check-enabled": "false",
    # A full disk of the machine is not what is tested.
    "yarn.nodemanager.disk-health-checker.enable": "false",
    "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "100",
}
"""Settings of all nodes and of clients."""

SCHEDULER = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    # Half of a small cluster for application masters, not a tenth.
    "yarn.scheduler.capacity.maximum-am-resource-percent": "0.5",
}


def _node_settings(folder: Path, number: int) -> dict[str, str]:
    """Return the settings of a NodeManager; each is a host of its own."""
    host = f"127.0.0.{number + 1}"
    return {
        "yarn.nodemanager.hostname": host,
        "yarn.nodemanager.address": f"{host}:{free_port()}",
        "yarn.nodemanager.localizer.address": f"{host}:0",
        "yarn.nodemanager.collector-service.address": f"{host}:0",
        "yarn.nodemanager.webapp.address": f"{host}:0",
        "yarn.nodemanager.local-dirs": f"{folder}/node-{number}",
        "yarn.nodemanager.log-dirs": f"{folder}/containers/node-{number}",
    }


def _write(file: Path, settings: Mapping[str, str]) -> None:
    root = ElementTree.Element("configuration")
    for name, value in settings.items():
        element = ElementTree.SubElement(root, "property")
        ElementTree.SubElement(element, "name").text = name
        ElementTree.SubElement(element, "value").text = value
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _has_nodes(address: str, number: int) -> bool:
    return _live_nodes(address) >= number


def _live_nodes(address: str) -> int:
    """Return the number of nodes that the ResourceManager knows, -1 while it starts."""
    try:
        with urllib.request.urlopen(f"http://{address}/ws/v1/cluster/metrics", timeout=5) as response:
            return int(json.load(response)["clusterMetrics"]["activeNodes"])
    except (urllib.error.URLError, TimeoutError, ConnectionError, LookupError, ValueError):
        return -1
