"""The images built and the compose file carried out, without a container engine: by tests/docker/engine.py.

Off by default: it installs three environments, torch twice among them (13 GB on the disk, some minutes), and
needs root. ``GRISTMILL_IMAGES=1 pytest tests/docker`` runs it. Two images are not ours: HDFS is played by the
same version's own main classes, and the S3 gateway must be on the path
(``go install github.com/versity/versitygw/cmd/versitygw@v1.8.0``).
"""

import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from pipeline.spark.session import jars
from pipeline.spark.session.java import java_home
from tests import small_crawl
from tests.docker.compose import Service, in_order, services
from tests.docker.engine import Container, Engine, Image
from tests.servers import hdfs

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not os.environ.get("GRISTMILL_IMAGES"),
        reason="installs three environments; GRISTMILL_IMAGES=1 runs it",
    ),
]

SMALL = (
    "--set=tokenizer.vocabulary_size=600",
    "--set=pack.sequence_length=64",
    "--set=pack.validation_share=0.3",
    "--set=model.layers=2",
    "--set=model.width=32",
    "--set=model.heads=4",
    "--set=model.kv_heads=2",
    "--set=train.steps=6",
    "--set=train.batch_size=4",
    "--set=train.micro_batch_size=2",
    "--set=train.checkpoint_every=3",
    "--set=train.validate_every=3",
)
KEY = "key-of-the-test"
ASK = """
import json, urllib.request as web
talk = [{{"role": "user", "content": "hello"}}]
body = json.dumps({{"messages": talk, "max_tokens": 4, "model": "run"}}).encode()
headers = {{"Authorization": "Bearer {key}", "Content-Type": "application/json"}}
answer = web.urlopen(web.Request("http://127.0.0.1:8000/v1/chat/completions", body, headers))
assert json.load(answer)["usage"]["completion_tokens"] >= 1
told = web.urlopen("http://127.0.0.1:8000/metrics").read().decode()
assert 'gristmill_requests_total{{route="/v1/chat/completions",status="200"}} 1.0' in told, told
"""
SECRETS = {
    "s3.env": "AWS_ACCESS_KEY_ID=miller\nAWS_SECRET_ACCESS_KEY='grain and water'\n",
    "server.env": f"GRISTMILL_API_KEYS={KEY}\n",
}
HDFS = """#!/bin/bash
case $1 in
namenode) main=org.apache.hadoop.hdfs.server.namenode.NameNode ;;
datanode) main=org.apache.hadoop.hdfs.server.datanode.DataNode ;;
dfsadmin) main=org.apache.hadoop.hdfs.tools.DFSAdmin ;;
dfs) main=org.apache.hadoop.fs.FsShell ;;
esac
shift
exec {java} -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp {classpath} $main "$@"
"""


class House:
    """The services of the compose file as containers."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.started: dict[str, Container] = {}
        self.crawl = folder / "crawl"
        small_crawl.build(self.crawl)
        for name, text in SECRETS.items():
            (folder / name).write_text(text)

    def up(self, service: Service) -> None:
        """Start a service, as often as it is to run, after what it depends on."""
        for other, condition in service.depends_on.items():
            container = self.started[other]
            if condition == "service_healthy":
                container.until_healthy(services()[other].healthcheck, 240)
            else:
                container.finish(900)
        for name in reversed(service.hosts):
            self.started[service.name] = self.engine.start(
                name,
                self._image(service),
                [*service.command, *(SMALL if "--config=configs/demo.toml" in service.command else ())],
                entrypoint=service.entrypoint,
                environment=service.environment,
                mounts=self._mounts(service),
                user=service.user,
                capabilities=service.cap_add,
            )

    def _image(self, service: Service) -> Image:
        if service.target:
            return self.engine.build(service.target)
        return self._foreign(service.image.partition(":")[0])

    def _foreign(self, name: str) -> Image:
        """An image of others, played by programs of this machine."""
        layer = self.folder / name.replace("/", "-")
        programs = layer / "usr/local/bin"
        if not programs.exists():
            programs.mkdir(parents=True)
            if name == "apache/hadoop":
                _hadoop(layer)
            else:
                shutil.copy2(
                    shutil.which("versitygw") or pytest.fail("versitygw is not on the path"), programs
                )
        return Image([layer], user="1000:1000" if name == "apache/hadoop" else "0:0")

    def _mounts(self, service: Service) -> dict[str, Path]:
        found = {f"/run/secrets/{name}": self.folder / name for name in service.secrets}
        for source, target in service.volumes.items():
            place = self.crawl if target == "/crawl" else self.folder / "volumes" / source
            place.mkdir(parents=True, exist_ok=True)
            found[target] = place
        return found


def _hadoop(layer: Path) -> None:
    """The command ``hdfs`` over the classes that the tests' own HDFS is made of, and the image's user."""
    libraries = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    wanted = [*jars.fetch(hdfs.LISTING), *(str(jar) for jar in libraries if jar.name.startswith(hdfs.NEEDED))]
    place = layer / "opt/hadoop"
    (place / "lib").mkdir(parents=True)
    for jar in wanted:
        shutil.copy2(jar, place / "lib")
    (place / "lib/core-site.xml").write_text("<configuration/>\n")  # as empty as the image's own
    home = Path(java_home())
    script = layer / "usr/local/bin/hdfs"
    script.write_text(
        HDFS.format(java=shlex.quote(str(home / "bin/java")), classpath="'/opt/hadoop/lib:/opt/hadoop/lib/*'")
    )
    script.chmod(0o755)
    (layer / "etc").mkdir()
    passwd = Path("/etc/passwd").read_text()
    (layer / "etc/passwd").write_text(f"{passwd}hadoop:x:1000:1000::/tmp:/bin/bash\n")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    engine = Engine(folder, [host for service in services().values() for host in service.hosts])
    with engine.closing():
        yield House(engine, folder)


def test_from_crawl_to_chat(house: House) -> None:
    for service in in_order(services()):
        house.up(service)
    server, image = house.started["server"], house.engine.build("server")
    server.until_healthy(image.healthcheck, 240)
    ready = "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/health/ready')"
    server.until_healthy(["python", "-c", ready], 240)
    assert server.run(["python", "-c", ASK.format(key="another")]) == 1
    assert server.run(["python", "-c", ASK.format(key=KEY)]) == 0, server.tail()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(45) == 0
    assert (house.folder / "volumes/feedback/feedback.sqlite").stat().st_size
