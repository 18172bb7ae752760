"""Feedback over HTTP."""

import json
import sqlite3
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.serve.feedback.samples import QUESTION, rows, sample_answer
from tests.serve.scripted_server import ScriptedServer, scripted_server

pytestmark = pytest.mark.server


@pytest.fixture
def server(database: Path) -> Iterator[ScriptedServer]:
    with scripted_server(database) as running:
        yield running


def post(server: ScriptedServer, body: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON, or its error, of a request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(server, "POST", "", data)


def delete(server: ScriptedServer, identifier: str) -> tuple[int, dict[str, Any]]:
    return send(server, "DELETE", f"/{identifier}")


def send(
    server: ScriptedServer, method: str, path: str, data: bytes | None = None
) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(f"{server.url}/v1/feedback{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def test_feedback_is_stored_and_returned(server: ScriptedServer, database: Path) -> None:
    server.feedback.add(sample_answer("a"))
    feedback = {"response_id": "a", "rating": "down", "correction": "Paris.", "comment": "no"}
    status, response = post(server, feedback)
    assert status == 200
    assert response.pop("id").startswith("feedback-") and response.pop("created") > 0
    assert response == {"object": "feedback", **feedback}
    stored = rows(database, "SELECT response_id, rating, correction, comment FROM feedback")
    assert stored == [("a", "down", "Paris.", "no")]


@pytest.mark.parametrize(
    ("body", "status", "param", "part"),
    [
        ({"response_id": "b", "rating": "up"}, 404, "response_id", "'b'"),
        ({"response_id": "a", "rating": "fine"}, 400, "rating", "'up' or 'down'"),
        ({"response_id": "a"}, 400, "rating", "missing"),
        ({"response_id": 3, "rating": "up"}, 400, "response_id", "string"),
        ({"response_id": "a", "rating": "up", "score": 5}, 400, "score", "unknown parameter score"),
        ({"response_id": "a", "rating": "up", "correction": " \n"}, 400, "correction", "must not be empty"),
        ({"response_id": "a", "rating": "up", "comment": "x" * 100_001}, 400, "comment", "100000"),
        ({"response_id": "a", "rating": "up", "comment": "\ud83d"}, 400, None, "JSON"),
        ([], 400, None, "object"),
        (b"{", 400, None, "JSON"),
        (b"\xff\xfe", 400, None, "JSON"),
    ],
)
def test_invalid_feedback_is_rejected(
    server: ScriptedServer, database: Path, body: Any, status: int, param: str | None, part: str
) -> None:
    server.feedback.add(sample_answer("a"))
    found, error = post(server, body)
    assert (found, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert part in error["message"] and "\n" not in error["message"]
    assert not database.exists() or rows(database, "SELECT count(*) FROM answers") == [(0,)]


def test_answers_are_stored_once_they_are_rated(server: ScriptedServer, database: Path) -> None:
    for name in ("a", "b"):
        server.feedback.add(sample_answer(name))
    assert not database.exists()
    assert post(server, {"response_id": "b", "rating": "up"})[0] == 200
    assert rows(database, "SELECT response_id, answer FROM answers") == [("b", "Lyon.")]


def test_conversation_of_a_forgotten_answer_can_be_sent(server: ScriptedServer, database: Path) -> None:
    own = {"messages": [{"role": "user", "content": "forged"}], "answer": "forged"}
    server.feedback.add(sample_answer("a"))
    assert post(server, {"response_id": "a", "rating": "up", **own})[0] == 200
    sent = {"messages": QUESTION, "answer": "Lyon."}
    status, response = post(server, {"response_id": "old", "rating": "down", **sent})
    assert status == 200 and "messages" not in response
    assert rows(database, "SELECT response_id, answer, finish_reason, model_sha256 FROM answers") == [
        ("a", "Lyon.", "stop", "5" * 64),  # the server's own memory is preferred
        ("old", "Lyon.", "unknown", ""),
    ]


def test_deleted_feedback_is_gone(server: ScriptedServer, database: Path) -> None:
    server.feedback.add(sample_answer("a"))
    feedback_id = post(server, {"response_id": "a", "rating": "up"})[1]["id"]
    post(server, {"response_id": "a", "rating": "down"})
    assert delete(server, feedback_id) == (
        200,
        {"object": "feedback.deleted", "id": feedback_id, "deleted": True},
    )
    assert rows(database, "SELECT rating FROM feedback") == [("down",)]
    assert delete(server, "a")[0] == 200
    assert rows(database, "SELECT count(*) FROM answers") == [(0,)]
    assert post(server, {"response_id": "a", "rating": "up"})[0] == 404  # forgotten, too
    status, error = delete(server, "a")
    assert (status, error["code"]) == (404, "feedback_not_found")


def test_server_without_a_store_rejects_feedback() -> None:
    with scripted_server("") as server:
        server.feedback.add(sample_answer("a"))
        status, error = post(server, {"response_id": "a", "rating": "up"})
        assert (status, error["code"]) == (403, "feedback_off")
        assert delete(server, "a")[1]["code"] == "feedback_off"
        assert "serve.feedback=FILE" in error["message"]
        with urllib.request.urlopen(f"{server.url}/v1/feedback") as response:
            assert json.load(response)["kept"] is False


def test_failing_database_is_status_503(server: ScriptedServer, database: Path) -> None:
    for name in ("a", "b"):
        server.feedback.add(sample_answer(name))
    assert post(server, {"response_id": "b", "rating": "up"})[0] == 200
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("DROP TABLE feedback")
    connection.execute("ALTER TABLE answers RENAME TO others")
    connection.close()
    status, error = post(server, {"response_id": "a", "rating": "up"})
    assert (status, error["code"]) == (503, "feedback_failed")


def test_concurrent_feedback_is_stored(server: ScriptedServer, database: Path) -> None:
    def rate_answers(client: int) -> None:
        for number in range(20):
            response_id = f"{client}-{number}"
            server.feedback.add(sample_answer(response_id))
            statuses.append(post(server, {"response_id": response_id, "rating": "up"})[0])

    statuses: list[int] = []
    clients = [threading.Thread(target=rate_answers, args=(client,)) for client in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert statuses == [200] * 160
    assert rows(database, "SELECT count(DISTINCT response_id) FROM feedback") == [(160,)]
