"""The data half of Gristmill: raw crawl files in, token shards out. No torch anywhere."""

__version__ = "0.1.0"
