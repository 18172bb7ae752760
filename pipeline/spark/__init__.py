"""The stages of the data half as Spark jobs: sessions, data sources, one module per stage.

Spark owns distribution; the rules are in the other packages. Start reading with :mod:`pipeline.spark.clean`.
"""
