"""User feedback on answers: an append-only SQLite database, and its export as training data.

Start at ``store.py``; ``python -m serve.feedback export`` runs ``export.py``. The HTTP endpoint is
``serve/api/feedback.py``.
"""
