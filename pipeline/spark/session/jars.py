"""Jars that Spark's own distribution lacks, downloaded once into the user's cache.

They are listed in files of lines ``SHA-256  path/in/Maven/Central.jar``, as ``sha256sum`` prints them.
Python downloads them, not Spark's Ivy: that would resolve their poms anew on each machine (half a minute),
fail on a half-filled local Maven cache, and trust only the certificates that came with the Java at hand.
"""

import hashlib
import os
import re
import urllib.request
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pyspark

from core import storage
from core.errors import InputError

S3A = Path(__file__).with_name("s3a.txt")
"""``org.apache.hadoop:hadoop-aws:3.5.0`` and the parts of the AWS SDK that it uses: 13 MB, where the whole
SDK (``software.amazon.awssdk:bundle``) weighs 690 MB. What Spark has itself is left out."""

REMEDY = "name a Maven repository by the variable DEFAULT_ARTIFACT_REPOSITORY"


def fetch(listing: Path) -> list[str]:
    """The local paths of the jars in ``listing``, in its order; those not in the cache are downloaded.

    A jar is in the cache only when it is whole and its hash is right, so any number of processes may do this
    at the same time. Raises :class:`InputError` for a failed download or a wrong hash.
    """
    lines = listing.read_text(encoding="utf-8").split("\n")
    wanted = [line.split() for line in lines if line and not line.startswith("#")]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda entry: _fetch(entry[0], entry[1]), wanted))


def repository() -> str:
    """Address of the repository: a mirror named by Spark's own variable, or Maven Central as Ivy knows it."""
    mirror = os.environ.get("DEFAULT_ARTIFACT_REPOSITORY")
    return (mirror or _central()).rstrip("/")


@cache
def _central() -> str:
    """The address built into the Ivy that comes with Spark, a constant of its resolver's class."""
    # Under spark-submit, which names Spark's folder, pyspark itself is imported from a zip.
    spark = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    ivy = next((spark / "jars").glob("ivy-*.jar"), None)
    if ivy is None:
        raise InputError(f"{spark / 'jars'}: holds no ivy-*.jar; {REMEDY}")
    with zipfile.ZipFile(ivy) as classes:
        resolver = classes.read("org/apache/ivy/plugins/resolver/IBiblioResolver.class")
    found = re.search(rb"https://[!-~]+/maven2/", resolver)
    if not found:
        raise InputError(f"{ivy}: names no Maven repository; {REMEDY}")
    return found[0].decode()


def _fetch(sha256: str, path: str) -> str:
    target = Path(storage.cache_folder("jars", storage.name(path)))
    if target.exists():
        return str(target)
    url = f"{repository()}/{path}"
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, beside.open("wb") as file:
            while piece := answer.read(storage.CHUNK):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != sha256:
            raise InputError(f"{url}: has SHA-256 {digest.hexdigest()}, not {sha256}; try again later")
        beside.replace(target)
    except OSError as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); check the network, try again") from None
    finally:
        beside.unlink(missing_ok=True)
    return str(target)
