"""Wikimedia dumps: MediaWiki XML exports and Enterprise HTML archives.

Start reading with :mod:`~pipeline.readers.wikimedia.xml_export`.
:mod:`~pipeline.readers.wikimedia.multistream` makes large bzip2 dumps splittable.
"""
