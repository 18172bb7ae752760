"""The fault table: fixtures of its cells, and the table itself.

A cell is a test that calls the fixture ``cell``. ``make test-faults`` runs all of them; elsewhere, those
marked ``faults`` are left out.
"""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.faults.table import as_text


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults", action="store_true", help="run all cells of the fault table")
    group.addoption("--fault-table", type=Path, help="write the fault table to this file")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--faults", False):
        return
    chosen = [item for item in items if not item.get_closest_marker("faults")]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("faults")])
    items[:] = chosen


_reports = pytest.StashKey[list[pytest.TestReport]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_reports] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the table after each cell, so that an interrupted run leaves one."""
    report = yield
    reports = item.config.stash.get(_reports, [])
    if report.when == "call" or report.failed:
        reports.append(report)
        if path := item.config.getoption("--fault-table", None):
            path.write_text(as_text(reports) + "\n", encoding="utf-8")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--faults", False):
        terminalreporter.section("fault table")
        terminalreporter.write_line(as_text(config.stash[_reports]))


Cell = Callable[[str, str, str], Callable[[str], None]]


@pytest.fixture
def cell(record_property: Callable[[str, object], None]) -> Cell:
    """Name the cell of a test, as ``cell(fault, stage, storage)``; call the result with the verdict."""

    def name(fault: str, stage: str, storage: str) -> Callable[[str], None]:
        record_property("cell", (fault, stage, storage))
        return lambda verdict: record_property("verdict", verdict)

    return name
