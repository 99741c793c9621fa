"""AWS's own client code against a server: run by the interpreter of .venv-deploy, told and answering in JSON.

sdk_client.py invoke       calls of LocalSagemakerRuntimeClient
sdk_client.py transform    one transform job of the SDK's local mode
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import Any

import boto3
import sagemaker.core.local.entities
from sagemaker.core.local.data import get_batch_strategy_instance, get_splitter_instance
from sagemaker.core.local.local_session import LocalSagemakerRuntimeClient, LocalSession

QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def invoke(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What each of the calls comes back with."""
    client = LocalSagemakerRuntimeClient({"local": {"serving_port": told["port"]}})
    answers = []
    for call in told["calls"]:
        answer = client.invoke_endpoint(EndpointName="cosmos", **call)
        about = answer["ResponseMetadata"]
        seen = {"status": about["HTTPStatusCode"], "headers": about["HTTPHeaders"], "type": answer["ContentType"]}
        answers.append({**seen, "body": base64.b64encode(answer["Body"].read()).decode()})
    return answers


class Container:
    """In place of the SDK's, which wants docker compose: serve itself, in the environment that it is given."""

    started: "list[Container]" = []  # noqa: RUF012 - the SDK makes it; this is how it is found again
    told: dict[str, Any]

    def __init__(self, instance_type: str, instance_count: int, image: str, session: LocalSession) -> None:
        self.kind = (instance_type, instance_count, image)

    def serve(self, model_dir: str, environment: dict[str, str]) -> None:
        self.environment = environment
        place = {
            "SAGEMAKER_BIND_TO_PORT": str(self.told["port"]),
            "COSMOS_MODEL_DIR": model_dir.removeprefix("file://"),
        }
        with open(self.told["log"], "wb") as log:  # noqa: PTH123
            self.process = subprocess.Popen(
                self.told["serve"], env={"PATH": os.environ["PATH"], **environment, **place}, stdout=log, stderr=log
            )
        Container.started.append(self)
        self._wait()

    def _wait(self) -> None:
        """Until it is ready: the SDK looks itself, but every five seconds only."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://localhost:{self.told['port']}/ping").close()
            except OSError:
                time.sleep(0.2)
            else:
                return

    def stop_serving(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def transform(told: dict[str, Any]) -> dict[str, Any]:
    """How the job ended, and with what environment serve was started for it."""
    sagemaker.core.local.entities._SageMakerContainer = Container
    Container.told = told
    session = LocalSession(boto_session=boto3.Session(region_name="us-east-1"), sagemaker_config=QUIET)
    session.config = {"local": {"serving_port": told["port"], "container_root": told["folder"]}}
    model = {"Image": "cosmos-handler", "ModelDataUrl": told["model"], "Environment": told["environment"]}
    session.sagemaker_client.create_model(ModelName="cosmos", PrimaryContainer=model)
    ended = ""
    try:
        session.sagemaker_client.create_transform_job(TransformJobName="records", ModelName="cosmos", **told["job"])
    except ValueError as error:
        ended = f"ValueError: {error}"
    for container in Container.started:
        container.stop_serving()
    described = session.sagemaker_client.describe_transform_job("records")
    return {
        "state": described["TransformJobStatus"],
        "error": ended,
        "environment": [container.environment for container in Container.started],
        "exit_codes": [container.process.returncode for container in Container.started],
        "words": {word: _is_known(word) for word in told["words"]},
    }


def _is_known(word: str) -> bool:
    """Whether the SDK's parser of strategies takes it."""
    try:
        get_batch_strategy_instance(word, get_splitter_instance("Line"))
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps({"invoke": invoke, "transform": transform}[sys.argv[1]](json.load(sys.stdin))))  # noqa: T201
