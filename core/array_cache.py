"""Arrays that take long to compute, kept on disk and shared by the processes of a machine."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import storage


def cached_array(name: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Memory-map an array, read-only, in this machine's cache; compute it first if it is not there.

    ``name`` must identify everything that the array depends on. A damaged file is replaced. If none can be
    written, the array is computed each time.
    """
    path = Path(storage.cache_folder(f"{name}.npy"))
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r").view(np.ndarray)
        return found
    except (OSError, EOFError, ValueError):
        made = compute()
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, made)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
    return made
