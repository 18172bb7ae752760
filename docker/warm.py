"""Fill the cache of the jobs image during its build, so that containers download and compile nothing.

A Java for Spark, the jars of S3A and the compiled domain list are placed in ``XDG_CACHE_HOME``.
"""

from pipeline.filters import url
from pipeline.spark.session import jars, java


def main() -> None:
    """Fetch or build each."""
    java.java_home()
    jars.fetch(jars.S3A)
    url.load()


if __name__ == "__main__":
    main()
