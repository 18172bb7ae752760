"""The Spark session of every job: settings, a Java runtime, and jars that Spark does not include.

Start reading with :mod:`~pipeline.spark.session.builder`. Nothing is imported here, so that finding a Java
(``python -m pipeline.spark.session.java``) stays fast.
"""
