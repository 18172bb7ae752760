"""Pre-training and fine-tuning: token shards or conversations in, checkpoints and models out.

Start reading with :mod:`train.loop`, the training loop; :mod:`train.training_run` defines what it runs on.
"""
