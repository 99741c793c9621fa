"""The README's way from weights to endpoints and a transform job, run: aws, boto3, moto, AWS's model of its service."""

import json
import os
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from cosmos_handler.settings import read_settings
from tests.conftest import ROOT
from tests.s3 import S3, running_s3
from tests.shapes import faults
from tests.test_readme import PYTHON, command

PROGRAMS = ROOT / ".venv-deploy" / "bin"
MODEL = botocore.session.get_session().get_service_model("sagemaker")
BUCKET = "my-bucket"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """moto, with what the reader has already: a bucket and a role."""
    with running_s3(tmp_path_factory.mktemp("moto"), BUCKET, module="tests.moto_server") as running:
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}}]}
        running.client("iam").create_role(RoleName="cosmos", AssumeRolePolicyDocument=json.dumps(trust))
        yield running


def shell(beginning: str, aws: S3, folder: Path, **changes: str) -> str:
    """What the block prints, typed in a folder where docker is one that writes down what it is told."""
    if not PROGRAMS.exists():
        pytest.skip("scripts/install --venv .venv-deploy deploy has not been run (scripts/test does)")
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >>{folder}/docker.log\n[ "$1" != login ] || cat >>{folder}/docker.log\n')
    docker.chmod(0o755)
    text = command(beginning)
    for old, new in changes.items():
        text = text.replace(f"/path/to/{old}", new)
    environ = {**aws.environment, "PATH": f"{folder}:{PROGRAMS}:{os.environ['PATH']}", "HOME": str(folder)}
    done = subprocess.run(
        ["/bin/sh", "-ec", text], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(holding: str, aws: S3, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """Runs the block with that in it; what it asked of SageMaker, by the name of the call."""
    (text,) = [each for each in PYTHON if holding in each]
    (folder / "block.py").write_text(text)
    asked: dict[str, Any] = {}
    clients: list[Any] = []
    original = boto3.client

    def client(service: str, **more: Any) -> Any:
        made = original(service, **more)
        clients.append(made)
        made.meta.events.register("provide-client-params.sagemaker", heard)
        return made

    def heard(params: dict[str, Any], model: Any, **_: Any) -> None:
        assert list(faults(model.input_shape, params, model.name)) == []
        asked[model.name] = params

    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(boto3, "client", client)
    runpy.run_path(str(folder / "block.py"))
    for each in clients:
        each.close()
    return asked


def test_an_image_and_weights_are_brought_there(aws: S3, tmp_path: Path) -> None:
    for name in ("models/reason2", "guardrails/blocklist"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("weights")
    shell("repository=$(aws", aws, tmp_path, models=f"{tmp_path}/models", guardrails=f"{tmp_path}/guardrails")
    (made,) = aws.client("ecr").describe_repositories()["repositories"]
    registry, name = made["repositoryUri"].split("/")
    assert name == "cosmos-handler"
    login, _, tag, push = (tmp_path / "docker.log").read_text().splitlines()
    assert login == f"login --username AWS --password-stdin {registry}"
    assert (tag, push) == (f"tag cosmos-handler {registry}/{name}:1", f"push {registry}/{name}:1")
    assert aws.keys(BUCKET) == ["guardrails/blocklist/file", "models/reason2/file"]


@pytest.fixture(scope="module")
def repository(aws: S3) -> str:
    """The one that the block before has made, or one like it where aws is not installed."""
    client = aws.client("ecr")
    known = client.describe_repositories()["repositories"]
    made = known[0] if known else client.create_repository(repositoryName="cosmos-handler")["repository"]
    return str(made["repositoryUri"])


def test_endpoints_from_their_model_to_their_end(
    aws: S3, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = block('EndpointName="cosmos", EndpointConfigName="cosmos"', aws, monkeypatch, tmp_path)
    container = asked["CreateModel"]["PrimaryContainer"]
    assert container["Image"] == f"{repository}:1"
    read_settings(container["Environment"])
    sources = [container["ModelDataSource"], *container["AdditionalModelDataSources"]]
    assert [each["S3DataSource"]["S3Uri"] for each in sources] == [
        f"s3://{BUCKET}/models/",
        f"s3://{BUCKET}/guardrails/",
    ]
    asked |= {"Asynchronous": block("AsyncInferenceConfig", aws, monkeypatch, tmp_path)["CreateEndpointConfig"]}
    for config in (asked["CreateEndpointConfig"], asked["Asynchronous"]):
        (variant,) = config["ProductionVariants"]
        assert (variant["ModelName"], variant["InstanceType"]) == ("cosmos", "ml.g6e.2xlarge")
    (real_time,) = [each for each in PYTHON if "invoke_endpoint_with_response_stream" in each]
    assert 'EndpointName="cosmos",' in real_time
    (asynchronous,) = [each for each in PYTHON if "invoke_endpoint_async" in each]
    assert 'EndpointName="cosmos-async",' in asynchronous
    running = aws.client("sagemaker").list_endpoints()["Endpoints"]
    assert {each["EndpointName"]: each["EndpointStatus"] for each in running} == {
        "cosmos": "InService", "cosmos-async": "InService",
    }  # fmt: skip
    shell("aws sagemaker delete-endpoint", aws, tmp_path)
    assert aws.client("sagemaker").list_endpoints()["Endpoints"] == []


def test_an_archive_of_weights(aws: S3, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "real").write_text("weights")
    (tmp_path / "models" / "model.safetensors").symlink_to(tmp_path / "real")
    (tmp_path / "records.jsonl").write_text("{}\n")
    shell("tar", aws, tmp_path, models=f"{tmp_path}/models")
    assert aws.object(f"s3://{BUCKET}/records/records.jsonl")["Body"].read() == b"{}\n"
    archive = aws.object(f"s3://{BUCKET}/archives/model.tar.gz")["Body"].read()
    listed = subprocess.run(["tar", "-tvzf", "-"], input=archive, capture_output=True, check=True).stdout.decode()  # noqa: S607
    assert "./model.safetensors\n" in listed  # a file, and no link
    assert "->" not in listed


def test_a_transform_job(aws: S3, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = block("create_transform_job", aws, monkeypatch, tmp_path)
    container = asked["CreateModel"]["PrimaryContainer"]
    assert read_settings(container["Environment"] | {"SAGEMAKER_BATCH": "true"}).is_batch_transform
    assert "ModelDataSource" not in container  # which the platform refuses for batch transform
    job = asked["CreateTransformJob"]
    image = job["TransformResources"]["TransformAmiVersion"]
    assert image in MODEL.shape_for("TransformResources").members["TransformAmiVersion"].documentation
    assert "BatchStrategy" not in job  # so that /execution-parameters is asked


@pytest.mark.parametrize(
    ("call", "params", "says"),
    [
        ("CreateEndpointConfig", {"ProductionVariants": [{"InstanceType": "ml.nope"}]}, "ml.nope is none of"),
        ("CreateEndpointConfig", {"ProductionVariants": [{"ModelDataDownloadTimeoutInSeconds": 9999}]}, "60 and 3600"),
        ("CreateEndpointConfig", {"ProductionVariants": []}, "is not between 1 and 10"),
        ("CreateModel", {"ModelName": "no_good"}, "does not match"),
        ("CreateModel", {"PrimaryContainer": {"Environment": {"A": "x" * 1025}}}, "is not between"),
    ],
)
def test_the_check_against_the_service_model_can_fail(call: str, params: dict[str, Any], says: str) -> None:
    shape = MODEL.operation_model(call).input_shape
    (found,) = faults(shape, params, call)
    assert says in found
