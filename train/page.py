"""``python -m train.page --config FILE.toml``: write ``training.html`` of a run again, from its files."""

from collections.abc import Sequence

from core import config as configuration
from core import errors, storage
from core.errors import InputError
from core.run_paths import run_folder
from train import samples
from train.reporting import metrics, page
from train.reporting.history import History

FINETUNING = "finetuning"
"""Folder of a fine-tuning run in ``output.path``."""


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    check = configuration.required("output.path")
    description = "Write the pages of pre-training and fine-tuning in output.path from their files."
    config = configuration.from_command_line(description, arguments, check)
    if config is None:
        return
    folders = [run_folder(config), storage.join(config.output.path, FINETUNING)]
    folders = [folder for folder in folders if storage.exists(storage.join(folder, metrics.FILE))]
    if not folders:
        raise InputError(f"{config.output.path}: has no {metrics.FILE} of a run; train first")
    for folder in folders:
        files = (storage.join(folder, name) for name in (metrics.FILE, samples.FILE))
        page.write(folder, History.read(*files))
        print(storage.join(folder, page.FILE))


if __name__ == "__main__":
    errors.run(main)
