"""The endpoints that generate: ``/v1/chat/completions`` and ``/v1/completions``.

``endpoints.py`` handles a request: ``prompts.py`` makes token ids of its conversation or texts,
``choices.py`` runs one generation per answer, and ``responses.py`` sends the text, at once or as a stream of
events, with ``logprobs.py`` if log-probabilities were requested.
"""
