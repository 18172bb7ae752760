"""Books: plain text, Markdown or TEI XML, one file each; long books are split into chapters.

Start reading with :mod:`~pipeline.readers.books.reader`.
"""
