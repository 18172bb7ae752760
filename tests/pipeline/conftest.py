"""Laws are checked without a deadline per example: the first one builds tables and loads models."""

from hypothesis import settings

settings.register_profile("patient")
settings.load_profile("patient")
