"""Entry points for ``spark-submit``: parse, build the session, call one plan."""
