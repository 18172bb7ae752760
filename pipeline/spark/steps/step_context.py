"""A step: named, shown and recorded."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from itertools import count

from core.messages import counted, duration
from pipeline.runs import Step
from pipeline.runs.record import Outcome
from pipeline.spark.steps import recording
from pipeline.spark.steps.metrics import Collector, StatusStore
from pipeline.spark.steps.naming import active_context, named
from pipeline.spark.steps.progress import progress

_numbers = count(1)
_collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


@contextmanager
def step(name: str, title: str) -> Iterator[None]:
    """Run the block as a step of a stage; print its title, its progress, and what it took.

    ``name`` is the same in all runs of the stage. ``title`` may have details, such as a number of files. A
    step inside another one is a part of it, named after it.
    """
    if _collector.get() is not None:
        with part(title):
            yield
        return
    print(f"{title} …", flush=True)
    context, watch = active_context(), recording.Stopwatch()
    if context is None:
        yield
        print(f"{title}: {duration(watch.seconds)}", flush=True)
        return
    group = f"{title} [{next(_numbers)}]"
    store = StatusStore(context)
    collector = Collector(store, group)
    token = _collector.set(collector)
    outcome: Outcome = "failed"
    try:
        with named(title, group), progress(context, store, title):
            yield
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        _collector.reset(token)
        seconds = watch.seconds  # without the time that reading the numbers takes
        if outcome != "interrupted":  # Ctrl-C means to end now
            collector.finish()
        done = Step(
            name=name,
            title=title,
            started=watch.started,
            seconds=round(seconds, 3),
            outcome=outcome,
            usage=collector.usage,
        )
        if record := recording.active():
            record.add(done)
    print(f"{title}: {summary(done)}", flush=True)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Name a part of the current step. Its numbers are read when it ends."""
    with named(name) if active_context() else nullcontext():
        yield
    if (collector := _collector.get()) is not None:
        collector.collect()


def summary(done: Step) -> str:
    """Describe a finished step in a few words: ``12.3 s, 40 tasks, 1,000 records written``."""
    usage = done.usage
    parts = [duration(done.seconds)]
    if usage.tasks:
        parts.append(counted(usage.tasks, "task"))
    if usage.failed_tasks:
        parts.append(f"{counted(usage.failed_tasks, 'attempt')} failed")
    if usage.records_written:
        parts.append(f"{counted(usage.records_written, 'record')} written")
    return ", ".join(parts)
