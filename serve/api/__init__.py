"""HTTP: routes, middleware, request schemas, responses and errors.

Start at ``app.py``, which assembles the application. A request passes ``middleware.py`` (path, log, metrics)
and ``admission.py`` (host, API key, size) and reaches its endpoint. ``body.py`` parses its body with a schema
of ``schemas/``; ``completions/`` generates the answer. The modules ``chat_page``, ``feedback``, ``models``
and ``tokenizer`` have the other endpoints.
"""
