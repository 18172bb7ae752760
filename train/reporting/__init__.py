"""Reporting of a training run: metrics, loggers, the page and profiler traces."""
