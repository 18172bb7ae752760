"""``python -m serve.chat``: chat in the terminal, with a running server or a model in this process.

Start at ``__main__.py``; ``client.py`` talks to a server, ``local.py`` runs a model.
"""
