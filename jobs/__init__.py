"""Entry points for ``spark-submit``. Each parses the command line, builds the session and calls one plan.

The plans are in :mod:`pipeline.spark`. Start reading with ``clean.py``.
"""
