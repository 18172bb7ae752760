"""What a container engine does with our files, as far as Linux alone can do it.

The Dockerfile's instructions are carried out one by one, each stage a layer over this machine's own root,
which stands in for the base image. Containers run as their user on a read-only root, without capabilities,
all in one network without a way out. Needs root and ``unshare``; outside of the given folder nothing changes
but the cache of downloads.
"""

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo import index
from tests.docker.dockerfile import ROOT, Stage, lineage

PYTHON = Path(sys.base_prefix)
PATH = f"{PYTHON}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
MOUNT = """
set -e
cd "$PLACE"
mount -t overlay overlay -o "lowerdir=/,upperdir=base,workdir=base-work" ground
mount -t overlay overlay -o "lowerdir=${LAYERS}ground,upperdir=upper,workdir=work" merged
mount --rbind /dev merged/dev
mount -t proc proc merged/proc
"""


@dataclass
class Image:
    """Layers, the uppermost first, and what containers of it start with."""

    layers: list[Path]
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


@dataclass
class Container:
    """A process with its own root."""

    process: subprocess.Popen[bytes]
    log: Path
    prefix: list[str]

    def run(self, command: Sequence[str]) -> int:
        """Run another command in it; its exit code."""
        inside = ["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--uts", "--root"]
        return subprocess.run(
            [*inside, *self.prefix, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode

    def finish(self, seconds: float) -> None:
        """Wait for its end, which must be a good one."""
        if status := self.process.wait(seconds):
            raise AssertionError(f"{self.log.stem} ended with {status}:\n{self.tail()}")

    def until_healthy(self, command: Sequence[str], seconds: float) -> None:
        """Wait until its health check succeeds."""
        deadline = time.monotonic() + seconds
        while self.run(command):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.log.stem} does not become healthy:\n{self.tail()}")
            time.sleep(0.5)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


class Engine:
    """Images and containers below ``folder``; each of ``hosts``, names of containers, has its own address."""

    def __init__(self, folder: Path, hosts: Sequence[str]) -> None:
        self.folder = folder
        self.images: dict[str, Image] = {}
        self._running: list[Container] = []
        self._context = _context(folder / "context")
        addresses = [f"127.0.1.{number} {host}\n" for number, host in enumerate(hosts, 1)]
        (folder / "hosts").write_text("".join(["127.0.0.1 localhost\n", *addresses]))
        self._network = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; exec sleep infinity"]
        )

    @contextmanager
    def closing(self) -> Iterator["Engine"]:
        try:
            yield self
        finally:
            for container in reversed(self._running):
                container.process.send_signal(signal.SIGTERM)
            for container in self._running:
                try:
                    container.process.wait(20)
                except subprocess.TimeoutExpired:
                    container.process.kill()
                    container.process.wait()
            self._network.kill()
            self._network.wait()

    def build(self, name: str) -> Image:
        """The image of a stage of the Dockerfile, or of what it begins with."""
        if name not in self.images:
            line = lineage(name)
            self.images[name] = self._stage(line[-1]) if line else Image([])
        return self.images[name]

    def start(
        self,
        name: str,
        image: Image,
        command: Sequence[str] = (),
        *,
        entrypoint: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, Path] | None = None,
        user: str = "",
        capabilities: Sequence[str] = (),
    ) -> Container:
        """Start a container; its output goes to a file of its name."""
        place = _place(self.folder / "containers" / f"{name}-{len(self._running)}")
        words = [*(image.entrypoint if entrypoint is None else entrypoint)]
        words += command or ([] if entrypoint is not None else image.command)
        variables = image.environment | dict(environment or {})
        uid, _, gid = (user or image.user).partition(":")
        bounding = ",".join(["-all", *(f"+{capability.lower()}" for capability in capabilities)])
        prefix = ["env", "-i", *(f"{key}={value}" for key, value in variables.items())]
        prefix += ["setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups", "--no-new-privs"]
        prefix += [f"--bounding-set={bounding}", "--inh-caps=-all"]
        prefix += ["sh", "-c", f'cd {image.folder} && exec "$@"', "sh"]
        binds = {"/etc/hosts": self.folder / "hosts", **(mounts or {})}
        script = f"hostname {name}\n{MOUNT}mount -t tmpfs tmpfs merged/tmp\n"
        for target, source in binds.items():
            point = place / "merged" / target.lstrip("/")
            script += f"mkdir -p {point if source.is_dir() else point.parent}\n"
            script += f"touch {point}\nmount --bind {source} {point}\n"
        script += 'mount -o remount,ro merged\nexec chroot merged "$@"\n'
        log = self.folder / f"{name}.log"
        network = ["nsenter", f"--target={self._network.pid}", "--net"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*network, "unshare", "--mount", "--uts", "sh", "-c", script, "sh", *prefix, *words],
                env=self._places(image, place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        container = Container(process, log, prefix)
        self._running.append(container)
        return container

    def _places(self, image: Image, place: Path) -> dict[str, str]:
        layers = "".join(f"{layer}:" for layer in image.layers)
        return {"PATH": PATH, "LAYERS": layers, "PLACE": str(place)}

    def _stage(self, stage: Stage) -> Image:
        base = self.build(stage.base)
        root = _place(self.folder / "stages" / stage.name)
        image = Image(
            [root / "upper", *base.layers],
            dict(base.environment),
            base.folder,
            base.user,
            base.entrypoint,
            base.command,
        )
        for instruction, value in stage.steps:
            self._step(image, root, instruction, value)
        return image

    def _step(self, image: Image, root: Path, instruction: str, value: str) -> None:
        match instruction:
            case "RUN":
                self._run(image, root, value)
            case "COPY":
                self._copy(root / "upper", image.folder, shlex.split(value))
            case "ENV":
                for pair in shlex.split(value):
                    key, _, text = pair.partition("=")
                    image.environment[key] = text.replace("$PATH", image.environment["PATH"])
            case "WORKDIR":
                image.folder = value
                (root / "upper" / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = value
            case "ENTRYPOINT":
                image.entrypoint, image.command = json.loads(value), []
            case "CMD":
                image.command = json.loads(value)
            case "HEALTHCHECK":
                image.healthcheck = json.loads(value.partition("CMD ")[2])

    def _run(self, image: Image, root: Path, command: str) -> None:
        """A RUN instruction, with this machine's network and the downloads that it already has."""
        below = Image(image.layers[1:])
        script = MOUNT + f"mount --rbind {Path.home()}/.cache merged{Path.home()}/.cache\n"
        script += f"exec chroot merged sh -c {shlex.quote(f'cd {image.folder} && {command}')}\n"
        settings = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
        settings |= {"UV_DEFAULT_INDEX": index.address(), "UV_LINK_MODE": "copy", "HOME": str(Path.home())}
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script],
            env=settings | self._places(below, root) | {"PATH": image.environment["PATH"]},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    def _copy(self, upper: Path, folder: str, words: list[str]) -> None:
        origin = self._context
        if words[0].startswith("--from="):
            origin = self.build(words.pop(0).removeprefix("--from=")).layers[0]
        *sources, target = words
        place = upper / (Path(folder) / target).relative_to("/")
        into = target.endswith("/") or len(sources) > 1
        for source in sources:
            found = origin / source.lstrip("/")
            assert found.exists(), f"COPY {source}: not in {origin}"
            goal = place / found.name if into and found.is_file() else place
            goal.parent.mkdir(parents=True, exist_ok=True)
            # Links, not copies: a layer is never written to again.
            how = "-alT" if found.is_dir() else "-al"
            subprocess.run(["cp", how, str(found), str(goal)], check=True)


def _context(folder: Path) -> Path:
    """The build context: what .dockerignore lets through."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        for source in ROOT.glob(line[1:]) if line.startswith("!") else ():
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
    return folder


def _place(place: Path) -> Path:
    """Where a root is put together: this machine's, what likens it to the base image, the layers."""
    for part in ("base", "base-work", "ground", "upper", "work", "merged"):
        (place / part).mkdir(parents=True)
    for parent in reversed(PYTHON.parents[:-1]):  # everybody may use this Python
        folder = _below(place / "base", parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    if java := shutil.which("java"):  # the base image has none; this is how an overlay says "removed"
        os.mknod(_below(place / "base", Path(java)), stat.S_IFCHR, os.makedev(0, 0))
    return place


def _below(folder: Path, path: Path) -> Path:
    found = folder / path.relative_to("/")
    found.parent.mkdir(parents=True, exist_ok=True)
    return found
