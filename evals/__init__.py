"""Measuring a model by suites, and the cards that say what was measured."""
