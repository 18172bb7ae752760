"""The compose file: valid by its specification, consistent with the Dockerfile and our programs."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from core import config
from tests.docker.compose import document, in_order, services
from tests.docker.dockerfile import ROOT, stages

SCHEMA = json.loads(Path(__file__).with_name("compose-spec.json").read_text())


@pytest.mark.parametrize("name", ["compose.yaml", "test/compose.yaml"])
def test_files_follow_the_specification(name: str) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document(name))


@pytest.mark.parametrize(("key", "value"), [("comand", ["x"]), ("read_only", 1.5), ("cap_drop", "ALL")])
def test_the_schema_is_strict(key: str, value: object) -> None:
    wrong = copy.deepcopy(document())
    wrong["services"]["server"][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(wrong)


def test_references_resolve() -> None:
    declared, found = document(), services()
    assert [service.name for service in in_order(found)][-1] == "server"
    for service in found.values():
        assert not service.target or service.target in stages()
        assert set(service.secrets) <= set(declared["secrets"])
        assert {source for source, target in service.volumes.items() if target != "/crawl"} <= set(
            declared["volumes"]
        )
        for other, condition in service.depends_on.items():
            assert condition == "service_completed_successfully" or found[other].has_healthcheck, (
                service.name,
                other,
            )


def test_services_have_minimal_privileges() -> None:
    for name, raw in document()["services"].items():
        assert not raw.get("privileged"), name
        assert raw["cap_drop"] == ["ALL"], name
        assert raw["security_opt"] == ["no-new-privileges:true"], name
        assert raw.get("read_only") or raw["image"].startswith("apache/hadoop"), name
        assert raw.get("cap_add", []) == (["CHOWN"] if name == "volumes" else []), name
        assert all(port.startswith("127.0.0.1:") for port in raw.get("ports", [])), name


def test_secrets_are_ignored_by_git() -> None:
    ignored = (ROOT / "docker/secrets/.gitignore").read_text().split()
    assert ignored == ["*", "!.gitignore"]
    assert {how["file"] for how in document()["secrets"].values()} == {"secrets/s3.env", "secrets/server.env"}


def test_commands_have_valid_configuration() -> None:
    checked = 0
    for service in services().values():
        given = [word.removeprefix("--set=") for word in service.command if word.startswith("--set=")]
        files = [word.removeprefix("--config=") for word in service.command if word.startswith("--config=")]
        if given:
            config.load(str(ROOT / files[0]) if files else None, given)
            checked += 1
        for word in service.command:
            assert not word.startswith("jobs/") or (ROOT / word).exists()
    assert checked == 5


def test_the_tests_overrides_name_services_and_valid_keys() -> None:
    assert document("test/compose.yaml")["services"].keys() <= document()["services"].keys()
    config.load(str(ROOT / "docker/test/demo.toml"))


def test_grace_period_exceeds_the_servers_drain_time() -> None:
    grace = document()["services"]["server"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= config.ServeConfig().drain_seconds + 10
