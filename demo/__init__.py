"""The demonstration: a sample crawl of real pages, and the director that takes it all the way to a model."""
