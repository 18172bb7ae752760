"""Safety filter for prompts and streamed answers: blocked words, personal data, toxicity.

Start at ``filter.py``, which combines the rules; each rule is a module of its own.
"""
