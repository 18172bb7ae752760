"""The Spark session of every job: settings, a Java to run on, and the jars that Spark's distribution lacks.

Start reading with :mod:`~pipeline.spark.session.builder`. Nothing is imported here, so that finding a Java
(``python -m pipeline.spark.session.java``) stays fast.
"""
