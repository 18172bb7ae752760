"""Fill the cache of the jobs image while it is built, so that no container downloads or compiles anything.

A Java that Spark can run on, the jars of S3A, the compiled list of domains: in ``XDG_CACHE_HOME``.
"""

from pipeline.filters import url
from pipeline.spark.session import jars, java


def main() -> None:
    """Fetch or make each."""
    java.java_home()
    jars.fetch(jars.S3A)
    url.load()


if __name__ == "__main__":
    main()
