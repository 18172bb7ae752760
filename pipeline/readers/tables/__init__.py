"""Tables of text: Parquet files and JSON lines, as Hugging Face datasets, FineWeb or Dolma publish them.

:mod:`~pipeline.readers.tables.columns` decides which column holds what; start reading there.
"""
