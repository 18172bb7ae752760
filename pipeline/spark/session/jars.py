"""Download jars that Spark's distribution does not include, once, into the user's cache.

They are listed in files of lines ``SHA-256  path/in/Maven/Central.jar``, the format of ``sha256sum``. They
are not downloaded by Spark's Ivy, which would resolve their dependencies on every machine (half a minute),
fail on an incomplete local Maven cache, and trust only the certificates of the Java in use.
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
"""``org.apache.hadoop:hadoop-aws:3.5.0`` and the parts of the AWS SDK that it uses: 13 MB, where
``software.amazon.awssdk:bundle`` has 690 MB. Jars that Spark includes are omitted."""

REMEDY = "set the variable DEFAULT_ARTIFACT_REPOSITORY to a Maven repository"


def fetch(listing: Path) -> list[str]:
    """Return the local paths of the jars in ``listing``, in its order, after downloading missing ones.

    A jar enters the cache only when it is complete and its hash is correct, so that any number of processes
    may do this concurrently. Raises :class:`InputError` for a failed download or a wrong hash.
    """
    lines = listing.read_text(encoding="utf-8").split("\n")
    entries = [line.split() for line in lines if line and not line.startswith("#")]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda entry: _fetch(entry[0], entry[1]), entries))


def repository() -> str:
    """Return the repository's URL: the mirror set in Spark's own variable, or Ivy's Maven Central."""
    mirror = os.environ.get("DEFAULT_ARTIFACT_REPOSITORY")
    return (mirror or _central()).rstrip("/")


@cache
def _central() -> str:
    """Return the URL built into Spark's Ivy, a constant of its resolver class."""
    # Under spark-submit, which sets SPARK_HOME, pyspark is imported from a zip.
    spark = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    ivy = next((spark / "jars").glob("ivy-*.jar"), None)
    if ivy is None:
        raise InputError(f"{spark / 'jars'}: contains no ivy-*.jar; {REMEDY}")
    with zipfile.ZipFile(ivy) as classes:
        resolver = classes.read("org/apache/ivy/plugins/resolver/IBiblioResolver.class")
    found = re.search(rb"https://[!-~]+/maven2/", resolver)
    if not found:
        raise InputError(f"{ivy}: contains no URL of a Maven repository; {REMEDY}")
    return found[0].decode()


def _fetch(sha256: str, path: str) -> str:
    target = Path(storage.cache_folder("jars", storage.name(path)))
    if target.exists():
        return str(target)
    url = f"{repository()}/{path}"
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=60) as response, temporary.open("wb") as file:
            while chunk := response.read(storage.CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            raise InputError(f"{url}: has SHA-256 {digest.hexdigest()}, not {sha256}; try again later")
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); check the network, try again") from None
    finally:
        temporary.unlink(missing_ok=True)
    return str(target)
