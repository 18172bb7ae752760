"""WARC and ARC archives, plain or compressed per record or as a whole.

:mod:`~pipeline.readers.warc.reader` yields the records; :mod:`~pipeline.readers.warc.framing` finds where they
begin and end, also in damaged files, and :mod:`~pipeline.readers.warc.http` decodes the stored responses.
"""

from pipeline.readers.warc.reader import fits, items, read, splittable

__all__ = ["fits", "items", "read", "splittable"]
