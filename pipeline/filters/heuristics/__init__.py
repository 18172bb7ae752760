"""Published heuristic quality filters, one module per project: Gopher, C4, FineWeb, RefinedWeb, DCLM, Dolma.

Each module computes metrics only; thresholds are data (``filters/presets``). Start reading with
:mod:`~pipeline.filters.heuristics.gopher`.
"""
