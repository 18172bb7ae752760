"""HTTP: routes, middleware, request schemas, responses and errors.

Start at ``app.py``, which assembles the application; ``completions.py`` has the OpenAI-compatible endpoints.
"""
