"""WARC and ARC archives, compressed per record, as a whole or not at all.

Start reading with :mod:`~pipeline.readers.warc.reader`, which yields the records.
:mod:`~pipeline.readers.warc.framing` finds their boundaries, also in damaged files, and
:mod:`~pipeline.readers.warc.http` decodes the stored responses.
"""
