"""Personal data: e-mail addresses, IP addresses, phone and card numbers, IBANs, found and replaced by tags.

Start reading with :mod:`~pipeline.filters.pii.masking`.
"""

from pipeline.filters.pii.masking import TAGS, find, mask

__all__ = ["TAGS", "find", "mask"]
