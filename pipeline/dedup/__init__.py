"""Deduplication: keys that duplicate documents share, and rules that choose the survivor of a cluster.

Start reading with :mod:`~pipeline.dedup.minhash`. Spark groups documents by these keys
(``pipeline/spark/clusters.py``) and applies the rules of :mod:`~pipeline.dedup.survivors`.
"""
