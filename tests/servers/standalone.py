"""A Spark standalone cluster on loopback: a master and two workers, from pyspark's jars."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark

from pipeline.spark.session.java import java_home
from tests.commands import SHORT_LIVED
from tests.servers.process import free_port, running, wait_until

WORKERS = 2


@contextmanager
def spark_cluster(folder: Path, *, bare: bool = False) -> Iterator[str]:
    """Run the cluster, each worker with one core and 1 GB; yield the master's ``spark://host:port``.

    Every worker is a host of its own, since Spark never runs two attempts of a task on the same one.
    ``bare``: executors do not find Gristmill in the repository.
    """
    home = Path(pyspark.__file__).parent
    port, web_port = free_port(), free_port()
    master = f"spark://127.0.0.1:{port}"
    environment = os.environ | {
        "JAVA_HOME": java_home(),
        "PYTHONPATH": "" if bare else str(Path(__file__).parents[2]),  # for the executors
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_JAVA_OPTS": SHORT_LIVED,
        "SPARK_DAEMON_MEMORY": "256m",
    }
    run_class = str(home / "bin" / "spark-class")
    package = "org.apache.spark.deploy"
    with ExitStack() as stack:
        log = folder / "master.log"
        command = [run_class, f"{package}.master.Master", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--webui-port", str(web_port)]
        process = stack.enter_context(running(command, log, environment))
        for number in range(WORKERS):
            command = [run_class, f"{package}.worker.Worker", "--host", f"127.0.0.{number + 1}"]
            command += ["--webui-port", "0", "--cores", "1", "--memory", "1g"]
            command += ["--work-dir", str(folder / f"worker-{number}"), master]
            stack.enter_context(running(command, folder / f"worker-{number}.log", environment))
        wait_until(lambda: _workers(web_port) == WORKERS, process, log, 120)
        yield master


def _workers(web_port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/json/", timeout=5) as response:
            return int(json.load(response)["aliveworkers"])
    except (urllib.error.URLError, TimeoutError, ConnectionError, json.JSONDecodeError):  # still starting
        return 0
