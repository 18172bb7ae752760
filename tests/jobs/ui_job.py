"""A job that prints what Spark's UI shows while it runs."""

import json
import urllib.request
from collections.abc import Sequence

from core.config import from_command_line
from pipeline.spark import tables
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job
from pipeline.spark.steps import step

PAGES = ("jobs/", "stages/", "SQL/", "environment/", "executors/")
RESOURCES = ("jobs", "stages", "sql", "environment")


def main(arguments: Sequence[str]) -> None:
    """Write a table of numbers to ``output.path``; print pages of the UI and of its REST API as JSON."""
    config = from_command_line("Show Spark's UI.", arguments)
    assert config
    spark = session(config, "ui")
    with step("numbers", "ui: making numbers"):
        tables.write(spark.range(100).repartition(2), f"{config.output.path}/numbers")
    url = str(spark.sparkContext.uiWebUrl)
    api = f"api/v1/applications/{spark.sparkContext.applicationId}"
    found = {}
    for page in (*PAGES, *RESOURCES):
        address = f"{url}/{page}" if page in PAGES else f"{url}/{api}/{page}"
        with urllib.request.urlopen(address, timeout=30) as response:
            found[page] = response.read().decode()
    print(json.dumps(found))


if __name__ == "__main__":
    run_job(main)
