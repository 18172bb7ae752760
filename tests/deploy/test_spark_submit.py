"""``spark-submit --master k8s://…`` as in docs/cluster.md: the objects that it creates in Kubernetes."""

import os
import re
import shlex
import subprocess
from itertools import pairwise
from typing import Any

import kubernetes_validate
import pytest
import yaml

from core import config
from tests.commands import spark_submit_command
from tests.deploy.test_kubernetes import _check_restricted
from tests.docker.dockerfile import ROOT
from tests.servers.kubernetes import api_server


def _documented() -> list[str]:
    """Return the words of the command in the documentation."""
    text = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    block = re.search(r"```\n(spark-submit --master k8s://.*?)```", text, re.DOTALL)
    assert block
    return shlex.split(block[1].replace("\\\n", " "))


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run the documented command against a server that starts nothing; return the objects."""
    options = _documented()[3:]
    script = options.index("local:///app/jobs/clean.py")
    home = tmp_path_factory.mktemp("home")  # without the user's access to a cluster
    with api_server() as server:
        given = ("--master", f"k8s://{server.url}", *options[:script])
        given += ("--conf", "spark.kubernetes.submission.waitAppCompletion=false")
        command, variables = spark_submit_command(options[script], *options[script + 1 :], options=given)
        variables = os.environ | variables | {"KUBECONFIG": str(home / "none"), "HOME": str(home)}
        variables.pop("PYSPARK_PYTHON", None)  # Spark would pass it on to the pods
        done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return server.objects


@pytest.mark.spark
@pytest.mark.server
def test_objects_follow_the_schema(created: list[dict[str, Any]]) -> None:
    assert {"Pod", "Service", "ConfigMap"} <= {each["kind"] for each in created}
    for each in created:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.spark
@pytest.mark.server
def test_driver_pod_is_restricted_and_runs_the_job(created: list[dict[str, Any]]) -> None:
    pod = next(each["spec"] for each in created if each["kind"] == "Pod")
    (container,) = pod["containers"]
    _check_restricted(pod["securityContext"], [container["securityContext"]])
    assert pod["serviceAccountName"] == "gristmill-spark"
    assert container["image"] == "gristmill-jobs:0.1.0"
    assert ("spark-local-dir-1", "/tmp") in {
        (each["name"], each["mountPath"]) for each in container["volumeMounts"]
    }
    variables = {each["name"]: each for each in container["env"]}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert variables[name]["valueFrom"]["secretKeyRef"] == {"name": "gristmill-s3", "key": name}
    words = container["args"]
    assert words[0] == "driver"  # of docker/spark.sh
    assert "local:///app/jobs/clean.py" in words
    settings = [value for word, value in pairwise(words) if word == "--set"]
    assert config.load(None, settings).output.path == "s3://my-bucket/corpus"


@pytest.mark.spark
@pytest.mark.server
def test_executors_get_the_template_and_secrets(created: list[dict[str, Any]]) -> None:
    maps = [each["data"] for each in created if each["kind"] == "ConfigMap"]
    (template,) = [text for data in maps for name, text in data.items() if name.startswith("podspec")]
    spec = yaml.safe_load(template)["spec"]
    _check_restricted(spec["securityContext"], [spec["containers"][0]["securityContext"]])
    (properties,) = [data["spark.properties"] for data in maps if "spark.properties" in data]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"spark.kubernetes.executor.secretKeyRef.{name}=gristmill-s3" in properties
