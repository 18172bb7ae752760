"""The data that a step trains on: packed rows, their order, and conversations for fine-tuning.

:mod:`~train.data.stream` decides which row is read at which position, :mod:`~train.data.dataset` reads rows
from shards or examples, and :mod:`~train.data.batch` turns them into tensors. Start with the stream.
"""
