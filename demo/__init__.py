"""The demonstration behind ``make demo`` and ``make chat``: a sample crawl, and every stage run on it.

Start reading with :mod:`demo.stages`, the list of commands.
"""
