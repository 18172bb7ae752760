"""Deduplication: signatures of texts, decisions about duplicates, repeated lines and passages.

Start reading with :mod:`~pipeline.dedup.minhash` and :mod:`~pipeline.dedup.survivors`, then
:mod:`~pipeline.dedup.cuts`. Spark applies these rules to any number of documents (``pipeline/spark/dedup``).
"""
