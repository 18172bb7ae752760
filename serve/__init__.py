"""``python -m serve``: a model answers over HTTP, in a browser and in the terminal."""
