"""Foundation of all programs: configuration, storage, manifests, tokenizers and token shards.

Neither Spark nor torch is imported here, so that executors and GPU hosts can share it. Start reading with
:mod:`core.stage` (how a stage publishes its output) and :mod:`core.shards` (the contract between the data
half and the trainer).
"""

__version__ = "0.1.0"
