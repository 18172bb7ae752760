import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import InputError
from pipeline.spark.session import java


@pytest.fixture
def no_java(monkeypatch, tmp_path):
    """Hide any installed Java, and use an empty cache."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _fake(home, version, module=True):
    """Create a Java home that only prints its version. ``module``: it has the module Spark requests."""
    script = home / "bin" / "java"
    script.parent.mkdir(parents=True)
    rejection = "" if module else f'[ "$1" = {java.VECTOR} ] && exit 1\n'
    script.write_text(f"#!/bin/sh\n{rejection}echo 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    script.chmod(0o755)
    return str(home)


@pytest.mark.parametrize(
    ("version", "accepted"), [("17.0.15", True), ("21", True), ("25.0.1", False), ("11.0.2", False)]
)
def test_only_supported_versions_are_accepted(no_java, monkeypatch, version, accepted):
    home = _fake(no_java / "jdk", version)
    monkeypatch.setenv("JAVA_HOME", home)
    assert (java.java_home() == home) == accepted


def test_path_is_searched_after_java_home(no_java, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", _fake(no_java / "new", "25.0.1"))
    on_path = _fake(no_java / "old", "17.0.1")
    (no_java / "links").mkdir()
    (no_java / "links" / "java").symlink_to(Path(on_path) / "bin" / "java")
    monkeypatch.setenv("PATH", str(no_java / "links"))
    assert java.java_home() == on_path


def test_java_without_the_vector_module_is_not_accepted(no_java, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", _fake(no_java / "small", "21.0.8", module=False))
    assert java.java_home() != str(no_java / "small")


def test_java_of_the_wheel_starts_with_sparks_options(no_java, monkeypatch):
    with ThreadPoolExecutor(8) as pool:
        homes = set(pool.map(lambda _: java.java_home(), range(16)))
    (home,) = homes
    shim = Path(home) / "bin" / "java"
    assert list(shim.parent.iterdir()) == [shim]
    assert shim.stat().st_mode & stat.S_IXUSR
    command = [
        str(shim),
        "-Xmx64m",
        java.VECTOR,
        "-Dwords=two words",
        "-XshowSettings:properties",
        "-version",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.defpath})
    assert "words = two words" in answer.stderr
    monkeypatch.setenv("JAVA_HOME", home)  # as the Makefile passes it on
    assert java.java_home() == home


def test_missing_java_is_reported_in_one_line_with_the_remedy(no_java, monkeypatch):
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Java: .* install one") as caught:
        java.java_home()
    assert "\n" not in str(caught.value)
