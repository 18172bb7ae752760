"""Books: plain text, Markdown or TEI XML, one file each, cut into chapters where long.

Start reading with :mod:`~pipeline.readers.books.reader`.
"""

from pipeline.readers.books.reader import read

__all__ = ["read"]
