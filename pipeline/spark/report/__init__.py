"""The report stage: aggregate the tables of a run into its report.

Start reading with :mod:`pipeline.spark.report.stage`.
"""

from pipeline.spark.report.stage import report

__all__ = ["report"]
