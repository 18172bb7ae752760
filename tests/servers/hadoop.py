"""Hadoop's daemons as Java processes: the main classes of a real cluster, without an installation.

Their classes are in one jar of 54 MB; the ResourceManager also needs Bouncy Castle, 10 MB. They are kept in
the user's cache. The other jars come with pyspark, whose Hadoop version is the same.
"""

import os
from pathlib import Path

import pyspark

from pipeline.spark.session import jars
from pipeline.spark.session.java import java_home
from tests.commands import SHORT_LIVED

LISTING = Path(__file__).with_name("hadoop.txt")
REQUIRED_JARS = ("hadoop-client-", "log4j-", "slf4j-", "jcl-over-slf4j")


def java(*folders: Path) -> list[str]:
    """Return the command to which the name of a main class is added.

    ``folders``: those with XML configuration, for settings that are not given as arguments.
    """
    libraries = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    classpath = [*map(str, folders), *jars.fetch(LISTING)]
    classpath += [str(jar) for jar in libraries if jar.name.startswith(REQUIRED_JARS)]
    command = [str(Path(java_home()) / "bin" / "java"), "-Xmx256m", *SHORT_LIVED.split()]
    return [*command, "-Dlog4j2.level=info", "-cp", os.pathsep.join(classpath)]
