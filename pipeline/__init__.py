"""The data half of Gristmill: raw crawl files in, documents, ledger and token shards out.

A record passes through ``readers``, ``extraction``, ``filters`` and ``dedup``; :mod:`pipeline.spark` runs
them on a cluster. Start with :mod:`pipeline.spark.record_processing`, the one pass over text. torch is not
imported in this package.
"""
