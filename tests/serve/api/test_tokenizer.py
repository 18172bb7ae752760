"""The tokenizer endpoints."""

import json

import pytest

from model.loading import LoadedModel
from tests.serve.server_process import CONTEXT, ServerProcess

pytestmark = pytest.mark.server


def test_tokenizer_of_the_server(server: ServerProcess, loaded: LoadedModel) -> None:
    ids = loaded.tokenizer.encode("Wie geht's?")
    status, response = server.post(b'{"prompt": "Wie geht\'s?", "add_special_tokens": false}', "/tokenize")
    assert (status, response) == (200, {"count": 11, "max_model_len": CONTEXT, "tokens": ids})
    assert server.post(json.dumps({"tokens": ids}).encode(), "/detokenize")[1] == {"prompt": "Wie geht's?"}
    info = json.loads(server.get("/tokenizer_info"))
    assert info["eos_token"] == "<|im_end|>" and "chat_template" in info
    body = json.dumps({"prompt": info["eos_token"], "model": "tiny"}).encode()
    assert server.post(body, "/v1/tokenize")[1]["tokens"] == [loaded.tokenizer.eos]
    assert server.post(b'{"tokens": [999999]}', "/detokenize")[1]["error"]["param"] == "tokens"
