import numpy as np
import pytest

from core.array_cache import cached_array


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gristmill"


def test_an_array_is_computed_once(folder):
    computed = []

    def compute():
        computed.append(1)
        return np.arange(6, dtype=np.uint32).reshape(2, 3)

    for _ in range(2):
        found = cached_array("numbers", compute)
        assert found.dtype == np.uint32 and found.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert len(computed) == 1 and [path.name for path in folder.iterdir()] == ["numbers.npy"]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array"])
def test_a_damaged_file_is_replaced(folder, content):
    cached_array("numbers", lambda: np.arange(3))
    (folder / "numbers.npy").write_bytes(content)
    assert cached_array("numbers", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert np.load(folder / "numbers.npy").tolist() == [0, 1, 2]


def test_without_a_place_to_write_the_array_is_computed(folder):
    cached_array("numbers", lambda: np.arange(3))
    (folder / "numbers.npy").unlink()
    (folder / "numbers.npy").mkdir()  # also stops root
    assert cached_array("numbers", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert [path.name for path in folder.iterdir()] == ["numbers.npy"]
