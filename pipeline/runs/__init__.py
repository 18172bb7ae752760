"""The run record: how long each step of a stage took, and what it used.

``run.json`` lies beside the stage's ``manifest.json`` and is no part of the output: the manifest does not
list it, and no fingerprint or hash depends on it. ``pipeline/spark/steps`` writes it. Start reading with
:mod:`pipeline.runs.record`; ``python -m pipeline.runs`` shows and compares records.
"""

from pipeline.runs.record import NAME, Attempt, Cluster, RunRecord, Step, Usage, read, resume, write

__all__ = ["NAME", "Attempt", "Cluster", "RunRecord", "Step", "Usage", "read", "resume", "write"]
