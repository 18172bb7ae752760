"""Tables of text: Parquet files and JSON lines, as Hugging Face datasets, FineWeb or Dolma publish them.

Start reading with :mod:`~pipeline.readers.tables.columns`, which maps columns to the fields of a record.
"""
