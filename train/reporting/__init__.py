"""What a run reports: metrics, samples, the page, traces, and loggers of others."""
