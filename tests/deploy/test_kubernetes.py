"""The manifests: each against its schema, strictly, and against each other and the programs they start."""

import copy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubeflow_spark_api.models.spark_v1beta2_spark_application import SparkV1beta2SparkApplication
from pydantic import ValidationError

from core import config
from tests.docker.dockerfile import ROOT, stages

FOLDER = ROOT / "deploy/kubernetes"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
Manifest = dict[str, Any]


def _load(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


MANIFESTS = [manifest for path in sorted(FOLDER.glob("*.yaml")) for manifest in _load(path)]
NATIVE = [manifest for manifest in MANIFESTS if manifest["kind"] != "SparkApplication"]
SPARK = next(manifest for manifest in MANIFESTS if manifest["kind"] == "SparkApplication")
PODS = {
    manifest["metadata"]["name"]: manifest["spec"]["template"]
    for manifest in MANIFESTS
    if "template" in manifest.get("spec", {})
}


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def _one(kind: str, name: str) -> Manifest:
    """Return the manifest; the first of the two alternative autoscalers."""
    return next(each for each in MANIFESTS if each["kind"] == kind and each["metadata"]["name"] == name)


def _values(tree: object, key: str) -> Iterator[Any]:
    """Yield every value of a key, at any depth."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _values(value, key)


def _spark_problems(manifest: Manifest) -> list[str]:
    """Return the fields of a SparkApplication that the operator's models do not accept."""
    try:
        known = SparkV1beta2SparkApplication.from_dict(copy.deepcopy(manifest))
    except ValidationError as error:
        return [str(problem["loc"]) for problem in error.errors()]
    return list(_lost(manifest, known.to_dict(), ""))


def _lost(given: object, known: object, where: str) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                yield f"{where}.{key}"
            else:
                yield from _lost(value, known[key], f"{where}.{key}")
    elif isinstance(given, list) and isinstance(known, list):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from _lost(one, other, f"{where}[{number}]")
    elif given != known:
        yield where


@pytest.mark.parametrize("manifest", NATIVE, ids=_name)
def test_manifests_follow_the_schema(manifest: Manifest) -> None:
    newest = kubernetes_validate.latest_version()
    kubernetes_validate.validate(manifest, newest, strict=True)


def test_schemas_are_strict() -> None:
    wrong = copy.deepcopy(_one("Deployment", "gristmill-server"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_spark_application_follows_the_operators_models() -> None:
    assert _spark_problems(SPARK) == []
    wrong = copy.deepcopy(SPARK)
    wrong["spec"]["executor"]["instanses"] = 2
    assert _spark_problems(wrong) == [".spec.executor.instanses"]
    del wrong["spec"]["mainApplicationFile"]
    assert _spark_problems(wrong)
    assert (ROOT / SPARK["spec"]["mainApplicationFile"].removeprefix("local:///app/")).exists()
    pins = (ROOT / "constraints.txt").read_text()
    assert f"pyspark=={SPARK['spec']['sparkVersion']}\n" in pins


@pytest.mark.parametrize("name", PODS)
def test_pods_meet_the_restricted_profile(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    _check_restricted(pod["securityContext"], [each["securityContext"] for each in pod["containers"]])


def test_spark_pods_meet_the_restricted_profile() -> None:
    for part in (SPARK["spec"]["driver"], SPARK["spec"]["executor"]):
        _check_restricted(part["podSecurityContext"], [part["securityContext"]])


def _check_restricted(pod: Manifest, containers: list[Manifest]) -> None:
    user = stages()["runtime"].values("USER")[0]
    assert pod["runAsNonRoot"] is True
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == user
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers:
        assert container["allowPrivilegeEscalation"] is False
        assert container["readOnlyRootFilesystem"] is True
        assert container["capabilities"] == {"drop": ["ALL"]}


def test_references_resolve() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for manifest in MANIFESTS:
        spec = manifest.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector", {}))
        wanted = selector.get("matchLabels", selector)
        if wanted:
            assert wanted.items() <= labels[manifest["metadata"]["name"]].items(), _name(manifest)
    for claim in _values(MANIFESTS, "persistentVolumeClaim"):
        assert _one("PersistentVolumeClaim", claim["claimName"])
    for volume in _values(MANIFESTS, "configMap"):
        assert _one("ConfigMap", volume["name"])
    for reference in _values(MANIFESTS, "scaleTargetRef"):
        assert _one(reference["kind"], reference["name"])["apiVersion"] == reference["apiVersion"]
    assert _one("ServiceAccount", SPARK["spec"]["driver"]["serviceAccount"])
    for image in _values(MANIFESTS, "image"):
        target, _, version = image.removeprefix("gristmill-").partition(":")
        assert target in stages()
        assert version == VERSION


def test_only_the_autoscaler_sets_replicas() -> None:
    assert "replicas" not in _one("Deployment", "gristmill-server")["spec"]


def test_arguments_are_valid_configuration() -> None:
    training = _one("ConfigMap", "gristmill-train")["data"]["train.toml"]
    config.parse(tomllib.loads(training), config.Config)
    given = [*_values(MANIFESTS, "args"), SPARK["spec"]["arguments"]]
    assert len(given) == 4
    for words in given:
        config.load(None, [word.removeprefix("--set=") for word in words if word.startswith("--set=")])


def test_rendezvous_is_the_first_pod() -> None:
    job, service = _one("Job", "gristmill-train"), _one("Service", "gristmill-train")
    container = PODS["gristmill-train"]["spec"]["containers"][0]
    options = dict(word.removeprefix("--").split("=", 1) for word in container["args"] if "=" in word)
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert PODS["gristmill-train"]["spec"]["subdomain"] == name
    assert options["rdzv-endpoint"] == f"{job['metadata']['name']}-0.{name}:{port}"
    assert int(options["nnodes"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(options["nproc-per-node"]) == container["resources"]["limits"]["nvidia.com/gpu"]


def test_server_may_finish_its_answers_and_uses_its_cpus() -> None:
    pod = PODS["gristmill-server"]["spec"]
    server = pod["containers"][0]
    needed = server["lifecycle"]["preStop"]["sleep"]["seconds"] + config.ServeConfig().drain_seconds
    assert pod["terminationGracePeriodSeconds"] >= needed + 10
    assert f"--set=serve.threads={server['resources']['limits']['cpu']}" in server["args"]
    assert f"--port={server['ports'][0]['containerPort']}" in server["args"]
    assert {probe["path"] for probe in _values(server, "httpGet")} == {"/health/live", "/health/ready"}
