"""Serve a trained model: OpenAI-compatible API, chat page, terminal chat, safety filter, feedback.

Start at ``__main__.py`` (the process) and ``api/app.py`` (the routes); ``api/completions/`` handles one
request. ``engine.py`` batches requests and samples tokens, ``stream.py`` turns them into text.
"""
