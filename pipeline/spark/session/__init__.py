"""The Spark session of every job: settings, a Java to run on, and the jars that Spark's distribution lacks.

Start reading with :mod:`~pipeline.spark.session.builder`.
"""

from pipeline.spark.session.builder import session

__all__ = ["session"]
