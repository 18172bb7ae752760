"""Names of Spark jobs and stages.

Spark shows a job by its description, and a stage by its call site. By default, a stage's call site is a line
of Spark's own code or of the Python program's last action.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # has no types
from pyspark import SparkContext
from pyspark.traceback_utils import SCCallSiteSync

GROUP, DESCRIPTION, CALL_SITE = "spark.jobGroup.id", "spark.job.description", "callSite.short"
"""Local properties of Spark, which apply to the jobs that a thread starts."""
SEPARATOR = " · "
"""Between the name of a step and that of a part of it."""


def active_context() -> SparkContext | None:
    """Return the running Spark context, if any. Some plans process small runs without Spark."""
    return SparkContext._active_spark_context


@contextmanager
def named(name: str, group: str = "") -> Iterator[None]:
    """Name the jobs and stages that the block starts; inside another block, after that one's name.

    ``group``: id of the job group, by which the jobs are found later; by default that of the outer block, or
    the name. Jobs that other threads start are not named, unless they are ``pyspark.InheritableThread``.
    """
    context = active_context()
    if context is None:
        yield
        return
    keys = (GROUP, DESCRIPTION, CALL_SITE)
    outer = {key: context.getLocalProperty(key) for key in keys}
    full = f"{outer[DESCRIPTION]}{SEPARATOR}{name}" if outer[DESCRIPTION] and not group else name
    _set(context, {GROUP: group or outer[GROUP] or name, DESCRIPTION: full, CALL_SITE: full})
    # pyspark's actions (collect, toArrow, foreachPartition) set the call site unless another one is running.
    SCCallSiteSync._spark_stack_depth += 1
    try:
        yield
    finally:
        SCCallSiteSync._spark_stack_depth -= 1
        if active_context() is context:
            # After an interrupt or the end of the JVM, this fails; the block's exception is the one to raise.
            with suppress(Py4JError, OSError):
                _set(context, outer)


def _set(context: SparkContext, properties: dict[str, str | None]) -> None:
    for key, value in properties.items():
        context._jsc.setLocalProperty(key, value)
