"""The README's commands, run: themselves, with another port, or with smaller sizes appended."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from scripts import invoke
from scripts.local.door import Limits, make_door
from scripts.local.objects import Objects
from scripts.local.queue import Destination
from tests.conftest import ROOT, SAMPLES, free_port
from tests.container.media import frames_of_mp4
from tests.s3 import running_s3
from tests.scripts.test_local_endpoint import running

pytestmark = pytest.mark.model

README = (ROOT / "README.md").read_text()
PYTHON_HERE = f"{ROOT}/.venv/bin/python {ROOT}/scripts"
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("COSMOS_")}


def command(beginning: str) -> str:
    (found,) = [block for block in COMMANDS if block.startswith(beginning)]
    return found


def run(text: str, folder: Path = ROOT, seconds: float = 240) -> str:
    shown = subprocess.run(  # noqa: S602 - the README's own words, as a reader would type them
        text, shell=True, cwd=folder, env=CLEAN, capture_output=True, text=True, timeout=seconds
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return shown.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the first command prints."""
    first, *_ = COMMANDS
    assert first == "scripts/demo"
    return run(first)


def test_the_demo_makes_a_video_and_an_answer(demo: str) -> None:
    frames, fps, codec, _ = frames_of_mp4((ROOT / "demo_output" / "video.mp4").read_bytes())
    assert (frames.shape, fps, codec) == ((17, 128, 192, 3), 16, "h264")
    assert re.search(r"answer: .+", demo)
    assert re.search(r"image2world\s+denoise\s+\d+\.\d\d", demo)
    assert "exit code 0" in demo
    assert "random" in demo


def test_the_demo_with_a_model_folder(tiny_models: Path, tmp_path: Path, demo: str) -> None:
    text = command("scripts/demo --model-dir").replace("/path/to/models", str(tiny_models))
    shutil.copy(ROOT / "demo_output" / "input.png", tmp_path / "photo.jpg")
    text = text.replace("photo.jpg", str(tmp_path / "photo.jpg"))
    text += f" --resolution 64,96 --frames 5 --steps 2 --max-tokens 5 --output {tmp_path} --port {free_port()}"
    with subprocess.Popen(  # noqa: S602
        f"exec {text}", shell=True, cwd=ROOT, env=CLEAN, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C ends it" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "exit code 0" in rest
    assert frames_of_mp4((tmp_path / "video.mp4").read_bytes())[0].shape == (5, 64, 96, 3)


@pytest.fixture(scope="module")
def address(demo: str) -> Iterator[str]:
    """The server that the README starts, with all the tiny checkpoints that it has written, on a free port."""
    port = free_port()
    *writing, serve = command(".venv/bin/python scripts/make_tiny.py").splitlines()
    for write in writing:
        run(write)
    text = serve.replace("8080", str(port))
    process = subprocess.Popen(f"exec env {text}", shell=True, cwd=ROOT, env=CLEAN, stderr=subprocess.DEVNULL)  # noqa: S602
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(["curl", "-sf", f"localhost:{port}/ping"], capture_output=True).returncode:  # noqa: S607
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README invokes with curl, which is not installed")
@pytest.mark.timeout(600)  # whoever comes first has the demo run and every checkpoint written
def test_the_invocations(address: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "demo_output", tmp_path / "demo_output")
    calls = [block for block in COMMANDS if block.startswith("curl")]
    plans, _, _, _, _, question, chat, raw = [run(call.replace("localhost:8080", address), tmp_path) for call in calls]
    assert "denoise" in plans
    assert "offload auto" in plans
    assert frames_of_mp4((tmp_path / "video.mp4").read_bytes())[0].shape == (17, 128, 192, 3)
    original = frames_of_mp4((tmp_path / "demo_output" / "input.mp4").read_bytes())[0]
    assert frames_of_mp4((tmp_path / "transfer.mp4").read_bytes())[0].shape == original.shape
    assert frames_of_mp4((tmp_path / "continued.mp4").read_bytes())[0].shape == (41, 64, 128, 3)
    with Image.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (192, 128))
    assert '"text":' in question
    assert '"chat.completion"' in chat
    assert '"text":' in raw


def test_nvidias_file_is_sent(address: str, tmp_path: Path) -> None:
    samples = {"cube": {"prompt_path": "cube.txt", "input_path": "input.png"}}
    (tmp_path / "image2world.json").write_text(json.dumps({"inference_type": "image2world", "samples": samples}))
    (tmp_path / "cube.txt").write_text("A red cube.")
    shutil.copy(ROOT / "demo_output" / "input.png", tmp_path)
    text = command(".venv/bin/python scripts/invoke.py").replace(
        ".venv/bin/python scripts", f"{ROOT}/.venv/bin/python {ROOT}/scripts"
    )
    run(f"{text} --set num_output_frames=5 --url http://{address}/invocations", tmp_path)
    assert frames_of_mp4((tmp_path / "results" / "cube.mp4").read_bytes())[0].shape == (5, 128, 192, 3)


def test_openais_client_makes_a_job(address: str, tmp_path: Path) -> None:
    (block,) = [each for each in PYTHON if "OpenAI(" in each]
    (tmp_path / "job.py").write_text(block.replace("localhost:8080", address))
    run(f"{ROOT}/.venv/bin/python job.py", tmp_path)
    frames, fps, *_ = frames_of_mp4((tmp_path / "job.mp4").read_bytes())
    assert (frames.shape, fps) == ((16, 128, 192, 3), 16)


def test_boto3_through_the_front_door(address: str, tmp_path: Path) -> None:
    assert "--async-output-s3-uri s3://my-bucket/results" in command(".venv/bin/python scripts/local_endpoint.py --url")
    calls, asynchronous = (each for each in PYTHON if 'boto3.client("sagemaker-runtime")' in each)
    (tmp_path / "calls.py").write_text(calls)
    (tmp_path / "asynchronous.py").write_text(asynchronous)
    asked = {"model": "predict2.5", "prompt": "A cube.", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1}
    with running_s3(tmp_path, "my-bucket") as s3:
        s3.client().put_object(Bucket="my-bucket", Key="requests/cube.json", Body=json.dumps(asked).encode())
        results = Destination("s3://my-bucket/results", "s3://my-bucket/failures")
        with running(make_door(f"http://{address}", Limits(), results, Objects(s3.client()))) as door:
            leading = {**s3.environment, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": door, "NO_PROXY": "*"}
            way = " ".join(f"{name}={value}" for name, value in leading.items())
            told = run(f"env {way} {ROOT}/.venv/bin/python calls.py", tmp_path)
            output, _ = run(f"env {way} {ROOT}/.venv/bin/python asynchronous.py", tmp_path).split()
            deadline = time.monotonic() + 60
            while output.removeprefix("s3://my-bucket/") not in s3.keys("my-bucket"):
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert frames_of_mp4(s3.object(output)["Body"].read())[0].shape == (5, 64, 96, 3)
    assert "progress denoise 8" in told
    assert told.rstrip().endswith("result")


def test_a_batch_on_a_desk(address: str, tmp_path: Path) -> None:
    record = {"model": "reason2", "prompt": "Say something.", "max_tokens": 2}
    (tmp_path / "records.jsonl").write_text(f"{json.dumps(record)}\n{{not json\n")
    text = command("COSMOS_MODEL_DIR=model_artifacts/tiny_all .venv/bin/python scripts/local_endpoint.py")
    run(text.replace("records.jsonl", f"{tmp_path}/records.jsonl").replace(" results", f" {tmp_path}/results"))
    first, second = (tmp_path / "results" / "records.jsonl.out").read_text().splitlines()
    assert json.loads(first)["text"]
    assert json.loads(second)["error"]["type"] == "invalid_body"


def test_the_conversion(tiny_native: Path, tmp_path: Path) -> None:
    (tmp_path / "Cosmos-Predict2.5-2B").symlink_to(tiny_native)
    (tmp_path / "Cosmos-Reason1-7B").symlink_to(tiny_native / "text_encoder")
    text = command(".venv/bin/python scripts/convert.py").replace(
        ".venv/bin/python scripts", f"{ROOT}/.venv/bin/python {ROOT}/scripts"
    )
    run(text, tmp_path)
    assert (tmp_path / "converted" / "model_index.json").is_file()


def test_a_plan_without_weights() -> None:
    shown = run(command(".venv/bin/python scripts/plan.py"))
    assert "streamed" in shown
    assert "Cosmos-Predict2.5-14B: 77 frames at 1280x704" in shown


def test_the_table_of_cards_is_what_the_planner_says() -> None:
    asked = re.search(r"`(scripts/plan.py --markdown .*?)`", README)
    assert asked is not None
    assert run(f".venv/bin/python {asked[1]}").strip() in README


def test_what_several_together_take_is_what_the_planner_says() -> None:
    told = re.search(
        r"`(--model \S+) --card a10g --batch-size 8` .*?: ([\d,]+) s for one by itself, ([\d,]+) s for each of eight\. "
        r"On an H200 \(`--card h200`\) (\d+) s become\s(\d+) s, of which (\d+) s are the diffusion decoder",
        README,
        re.DOTALL,
    )
    assert told is not None
    model, *figures = told.groups()

    def planned(card: str, batch_size: int) -> dict[str, Any]:
        command = f".venv/bin/python scripts/plan.py {model} --card {card} --batch-size {batch_size} --json"
        plan: dict[str, Any] = json.loads(run(command))["plan"]
        return plan

    small, large = ([planned(card, size) for size in (1, 8)] for card in ("a10g", "h200"))
    decoding = next(stage for stage in large[1]["stages"] if stage["stage"] == "diffusion_decode")
    seconds = [small[0]["seconds"], small[1]["seconds"] / 8, large[0]["seconds"], large[1]["seconds"] / 8]
    for figure, exact in zip(figures, [*seconds, decoding["seconds"] / 8], strict=True):
        assert float(figure.replace(",", "")) == float(f"{exact:.2g}")


def test_nvidias_batch_of_videos_is_read() -> None:
    model = Served("autoregressive", (), "autoregressive", ("image2world", "video2world"))
    (told,) = re.findall(r"`scripts/invoke.py (autoregressive_.*?)`", README)
    options = invoke._parser().parse_args(shlex.split(told))
    jobs = invoke.read_jobs(SAMPLES / "predict1" / options.files[0], dict(options.set))
    assert len(jobs) == 10
    assert {parse(job.body, models=[model]).task for job in jobs} == {"video2world"}


def test_no_command_is_left_out() -> None:
    """A new block of commands needs a test: for aws in test_readme_deploy.py. What builds images tries them itself."""
    known = (
        "scripts/demo",
        "COSMOS_MODEL_DIR=model_artifacts/tiny_all .venv/bin/python scripts/local_endpoint.py",
        ".venv/bin/python scripts/",
        "curl",
        "docker",
        "scripts/build_image",
        "repository=$(aws",
        "tar",
        "aws",
    )
    assert [block for block in COMMANDS if not block.startswith(known)] == []
