"""Keys under which duplicate documents meet. Spark groups by them (``pipeline/spark/clusters.py``)."""
