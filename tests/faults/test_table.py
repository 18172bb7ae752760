from types import SimpleNamespace

from tests.faults.table import as_text


def _report(cell, verdict="", problem=""):
    properties = [("cell", cell), *([("verdict", verdict)] if verdict else [])]
    crash = SimpleNamespace(reprcrash=SimpleNamespace(message=f"AssertionError: {problem}\ndetails"))
    return SimpleNamespace(user_properties=properties, passed=not problem, longrepr=crash)


def test_table_has_a_row_per_fault_and_storage_and_lists_what_is_wrong():
    reports = [
        _report(("node lost", "clean", "HDFS"), "same output"),
        _report(("disk full", "clean", "local"), problem="the output is not whole"),
        _report(("disk full", "pack", "local"), "one line, rerun completes"),
        SimpleNamespace(user_properties=[], passed=True),
    ]
    assert as_text(reports).splitlines() == [
        "| fault | storage | clean | pack |",
        "|---|---|---|---|",
        "| disk full | local | **wrong (1)** | one line, rerun completes |",
        "| node lost | HDFS | same output |  |",
        "",
        "1. disk full, clean, local: the output is not whole",
    ]
