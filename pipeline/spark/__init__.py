"""Spark owns distribution: sessions, plans over DataFrames, tables. The rules live in the other rooms."""
