"""Steps of a stage, as an operator sees them.

A :func:`step` names its jobs and stages in Spark's UI and event log (``naming.py``), shows its progress
(``progress.py``), and is recorded in ``run.json`` with what it used (``recording.py``, from the numbers in
Spark's status store, ``metrics.py``). ``tables.timed`` and ``tables.write_once`` are steps.
"""

from pipeline.spark.steps.naming import named
from pipeline.spark.steps.recording import recorded
from pipeline.spark.steps.step_context import part, step

__all__ = ["named", "part", "recorded", "step"]
