"""Parameters without effect are accepted; those that would change an answer are refused by name."""

from typing import Any

import pytest

from tests.serve.client import chat_body
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server


NEUTRAL: list[dict[str, Any]] = [
    {
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "functions": [],
        "function_call": "auto",
    },
    {
        "tools": None,
        "tool_choice": None,
        "response_format": None,
        "logit_bias": None,
        "stop": None,
        "n": None,
    },
    {
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "logit_bias": {},
        "stop": "",
        "audio": None,
    },
    {"store": False, "metadata": {}, "service_tier": "auto", "user": "me", "safety_identifier": "x"},
    {"reasoning_effort": "none", "verbosity": "medium", "prompt_cache_key": "k", "prediction": None},
    {
        "top_p": 1,
        "top_k": -1,
        "min_p": 0,
        "repetition_penalty": 1.0,
        "typical_p": 1,
        "seed": None,
        "top_a": 0.0,
    },
    {"presence_penalty": 0.0, "frequency_penalty": 0, "logprobs": False, "top_logprobs": None, "n": 1},
    {"mirostat_mode": 0, "mirostat_tau": 5, "dry_multiplier": 0, "dry_base": 1.75, "xtc_probability": 0},
    {"stream_options": None, "max_completion_tokens": None, "max_tokens": -1, "stop": ["\n", "", None]},
    {
        "logprobs": 0,
        "include_reasoning": True,
        "route": "fallback",
        "safe_prompt": False,
        "provider": {"a": 1},
    },
    {
        "chat_id": "c",
        "id": "m",
        "session_id": "s",
        "background_tasks": {"title": True},
        "features": {"web_search": False},
        "variables": {"{{USER}}": "u"},
        "model_item": {"id": "tiny"},
        "tool_ids": [],
        "files": [],
    },
    {"something_new": None, "extra_body": {}, "plugins": [], "label": ""},
    {"min_tokens": 0, "ignore_eos": False, "skip_special_tokens": True, "add_generation_prompt": True},
]


@pytest.mark.parametrize("parameters", NEUTRAL)
def test_neutral_parameters_are_accepted(server: ServerProcess, parameters: dict[str, Any]) -> None:
    body = {"max_completion_tokens": 3, "temperature": 0, **parameters}
    expected = server.post(chat_body(max_tokens=3, temperature=0))[1]["choices"]
    status, response = server.post(chat_body(**{"max_tokens": 3, **body}))
    assert status == 200, response
    if "max_tokens" not in parameters:
        assert response["choices"] == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"min_p": 0.05},
        {"repetition_penalty": 1.1},
        {"reasoning_effort": "high"},
        {"modalities": ["text", "audio"]},
        {"ignore_eos": True},
        {"something_new": 1},
    ],
)
def test_parameters_that_would_change_the_answer_are_refused_by_name(
    server: ServerProcess, parameters: dict[str, Any]
) -> None:
    status, response = server.post(chat_body(**parameters))
    error = response["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", *parameters)
    assert error["param"] in error["message"] and "\n" not in error["message"]
