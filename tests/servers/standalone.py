"""A Spark standalone cluster on loopback: a Master and two Workers, the classes inside the pyspark package."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark

from pipeline.spark.java import java_home
from tests.servers.process import free_port, running, wait_until

WORKERS = 2


@contextmanager
def spark_cluster(folder: Path) -> Iterator[str]:
    """Run the cluster, each worker with one core and 1 GB; yields the master's ``spark://host:port``."""
    home = Path(pyspark.__file__).parent
    port, web_port = free_port(), free_port()
    master = f"spark://127.0.0.1:{port}"
    environment = os.environ | {
        "JAVA_HOME": java_home(),
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "256m",
    }
    start = [str(home / "bin" / "spark-class"), "org.apache.spark.deploy"]
    with ExitStack() as stack:
        log = folder / "master.log"
        command = [start[0], f"{start[1]}.master.Master", "--host", "127.0.0.1", "--port", str(port)]
        process = stack.enter_context(running([*command, "--webui-port", str(web_port)], log, environment))
        for number in range(WORKERS):
            command = [
                start[0],
                f"{start[1]}.worker.Worker",
                master,
                "--host",
                "127.0.0.1",
                "--webui-port",
                "0",
            ]
            work = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"worker-{number}")]
            stack.enter_context(running([*command, *work], folder / f"worker-{number}.log", environment))
        wait_until(lambda: _workers(web_port) == WORKERS, process, log, 60)
        yield master


def _workers(web_port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/json/", timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"])
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return 0
