"""The SageMaker SDK's local mode, AWS's own code in its own virtual environment, at the real server."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.local.door import Limits, make_door
from tests.conftest import CPU_THREADS, ROOT, Server, free_port, serve_command
from tests.container.media import frames_of_mp4
from tests.container.test_batch import check, records
from tests.scripts.test_local_endpoint import running

INTERPRETER = ROOT / ".venv-deploy" / "bin" / "python"
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        not INTERPRETER.exists(),
        reason="scripts/install --venv .venv-deploy deploy has not been run (scripts/test does)",
    ),
]

TINY = {"prompt": "a robot", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1}
WORDS = {"model": "reason2", "prompt": "Say something.", "max_tokens": 3, "temperature": 0}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Without settings of the user's, and with the program that the SDK asks where docker is."""
    (tmp_path / "docker").symlink_to(Path(__file__).with_name("fake_docker.py"))
    return tmp_path


def sdk(home: Path, what: str, told: dict[str, Any]) -> Any:
    environ = {"HOME": str(home), "PATH": f"{home}:/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [INTERPRETER, Path(__file__).with_name("sdk_client.py"), what],
        input=json.dumps(told), env=environ, cwd=home, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def invoked(port: int | None, home: Path, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = sdk(home, "invoke", {"port": port, "calls": calls})
    for answer in answers:
        answer["body"] = base64.b64decode(answer["body"])
    return answers


@pytest.fixture(params=["container", "front door"])
def port(server: Server, request: pytest.FixtureRequest) -> Iterator[int | None]:
    """Where the client finds the server: itself, or scripts/local_endpoint.py in front of it."""
    if request.param == "container":
        yield server.client.base_url.port
    else:
        with running(make_door(str(server.client.base_url), Limits())) as address:
            yield int(address.rpartition(":")[2])


def test_the_runtime_client_as_it_is(port: int | None, home: Path) -> None:
    """Contract 1.4 to 1.6, check 7a."""
    question = {"Body": json.dumps(WORDS), "ContentType": "application/json"}
    video = {"Body": json.dumps(TINY), "ContentType": "application/json", "Accept": "video/mp4"}
    told, made, bad = invoked(
        port,
        home,
        question,
        video,
        {**question, "Body": json.dumps({**WORDS, "max_tokens": 0}), "CustomAttributes": "tenant-17"},
    )
    assert (told["status"], told["type"]) == (200, "application/json")
    assert json.loads(told["body"])["text"]
    assert (made["status"], made["type"]) == (200, "video/mp4")
    assert frames_of_mp4(made["body"])[0].shape == (5, 64, 96, 3)
    assert bad["status"] == 400
    assert json.loads(bad["body"])["error"]["field"] == "max_tokens"
    assert {name.lower(): value for name, value in bad["headers"].items()}[
        "x-amzn-sagemaker-custom-attributes"
    ] == "tenant-17"


def test_what_the_runtime_client_sends_reaches_its_route_and_its_job(port: int | None, home: Path) -> None:
    """Contract 1.5: Custom-Attributes and Inference-Id."""
    call = {"ContentType": "application/json", "InferenceId": f"sdk-{port}"}
    models, first, again, other = invoked(
        port,
        home,
        {"Body": "", "CustomAttributes": "route=/v1/models", "Accept": "application/json"},
        {**call, "Body": json.dumps(TINY), "TargetVariant": "AllTraffic"},
        {**call, "Body": json.dumps(TINY)},
        {**call, "Body": json.dumps(WORDS)},
    )
    assert [each["id"] for each in json.loads(models["body"])["data"]] == ["predict2.5", "reason2"]
    assert first["status"] == again["status"] == 200
    assert json.loads(first["body"])["job_id"] == json.loads(again["body"])["job_id"]
    assert (other["status"], json.loads(other["body"])["error"]["type"]) == (409, "repeat_differs")


def transformed(models: Path, home: Path, lines: list[str], **wishes: Any) -> tuple[dict[str, Any], Path]:
    """The job as the SDK runs it on its own, and the file that it wrote."""
    (home / "records.jsonl").write_text("\n".join(lines) + "\n")
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"file://{home}/records.jsonl"}}}
    told = {
        "serve": serve_command(),
        "port": free_port(),
        "log": str(home / "server.log"),
        "folder": str(home),
        "model": f"file://{models}",
        "environment": {"COSMOS_CPU_THREADS": str(CPU_THREADS), "COSMOS_WORK_DIR": str(home)},
        "words": ["MULTI_RECORD", "SINGLE_RECORD", "MultiRecord", "SingleRecord"],
        "job": {
            "TransformInput": {**source, "ContentType": "application/jsonlines", "SplitType": "Line"},
            "TransformOutput": {
                "S3OutputPath": f"file://{home}/results", "Accept": "application/jsonlines", "AssembleWith": "Line",
            },
            "TransformResources": {"InstanceType": "local", "InstanceCount": 1},
            **wishes,
        },
    }  # fmt: skip
    ended = sdk(home, "transform", told)
    assert ended["exit_codes"] == [0] * len(ended["exit_codes"]), (home / "server.log").read_text()[-3000:]
    return ended, home / "results" / "records.jsonl.out"


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_the_local_transform_job_with_a_strategy_of_the_callers(tiny_models: Path, home: Path, strategy: str) -> None:
    """Contract 3, check 7b: 40 lines of which 5 are bad, through the SDK's own splitting and assembling."""
    asked = records()
    asked[30] = "7"  # as a line of its own, a list is a request of several records
    ended, output = transformed(tiny_models, home, asked, BatchStrategy=strategy, MaxPayloadInMB=6)
    assert (ended["state"], ended["error"]) == ("Completed", "")
    assert [each["SAGEMAKER_BATCH"] for each in ended["environment"]] == ["True"]
    written = output.read_text()
    assert written.endswith("}\n")
    check(written.removesuffix("\n").split("\n"))


def test_the_local_transform_job_does_not_know_the_documented_words(tiny_models: Path, home: Path) -> None:
    """Contract 3: what /execution-parameters has to say ends the SDK's own job; the platform wants these words."""
    ended, output = transformed(tiny_models / "reason2", home, [json.dumps(WORDS)])
    assert ended["words"] == {
        "MULTI_RECORD": False, "SINGLE_RECORD": False, "MultiRecord": True, "SingleRecord": True,
    }  # fmt: skip
    assert ended["error"].startswith("ValueError: Invalid Batch Strategy")
    (environment,) = ended["environment"]  # it was started, and asked
    assert "SAGEMAKER_BATCH_STRATEGY" not in environment
    assert ended["state"] == "Creating"
    assert not output.exists()
