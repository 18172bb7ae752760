"""``torchrun -m train``: token shards in, checkpoints out."""
