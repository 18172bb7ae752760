"""Evaluate models on suites of tasks, and write model cards and data cards.

A suite (:mod:`evals.suite`) is a TOML file: a task type, the fields of its data, and prompts. Each task type
is a module in :mod:`evals.tasks`. Start reading with ``evals/__main__.py``, which runs an evaluation from
start to finish. The cards are in :mod:`evals.card`.
"""
