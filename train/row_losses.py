"""Losses of the rows of a step, with the weights of the last checkpoint before it."""

from collections.abc import Iterator

import torch

from core import manifest
from model.formats import checkpoint
from model.formats.checkpoint import find_all, load_weights
from model.transformer import Transformer
from train import losses
from train.data.dataset import read_stream
from train.losses import LossSums
from train.parallel import initialize
from train.training_run import TrainingRun


def weights_before(run: TrainingRun, step: int, device: torch.device) -> tuple[Transformer, int]:
    """Return the model of the last checkpoint that is kept of before ``step``, and its number of steps.

    If there is none, these are the initial weights, after 0 steps.
    """
    model = Transformer(run.model_config)
    earlier = {number: path for number, path in find_all(run.checkpoints).items() if number < step}
    number = max(earlier, default=0)
    if number:
        load_weights(earlier[number], manifest.read(earlier[number], checkpoint.STAGE), model)
    else:
        initialize(model, run.initial_weight)
    return model.to(device).eval(), number


@torch.inference_mode()
def row_losses(run: TrainingRun, model: Transformer, step: int) -> Iterator[LossSums]:
    """Yield the sums of each row of a step's batch."""
    device = model.embedding.weight.device
    byte_lengths = losses.byte_lengths(run.tokenizer, device)
    positions = run.batch_sizes.positions(step)
    ((rows, _),) = read_stream(run.dataset, run.stream, [positions])
    for part in rows.batch().to(device).split(run.config.micro_batch_size):
        targets = part.targets
        nats = model.losses(part.inputs, targets, part.document_ids).nats
        for sums in losses.row_sums(nats, targets, byte_lengths).tolist():
            yield LossSums(*sums)
