"""Personal data: find and mask e-mail addresses, IP addresses, phone and card numbers, and IBANs.

Start reading with :mod:`~pipeline.filters.pii.masking`.
"""

from pipeline.filters.pii.folding import TAGS, fold
from pipeline.filters.pii.masking import find, mask

__all__ = ["TAGS", "find", "fold", "mask"]
