"""Deduplication on Spark: candidate pairs, clusters, decisions; repeated lines and passages; signature index.

Start reading with :mod:`~pipeline.spark.dedup.clusters`.
"""
