"""Without a network the server starts, answers and ends as ever, and none of its processes tries to reach one."""

import base64
import shutil
from pathlib import Path

from tests.conftest import Server, data_url, running_server
from tests.container.isolation import inside, reached_for, shut_in
from tests.container.media import clip, png

MOUNT, CHANNELS = "/opt/ml/model", "/opt/ml/additional-model-data-sources"
IMAGE = {"model": "predict2.5", "prompt": "a robot", "resolution": "64,64", "num_output_frames": 1, "num_steps": 1}
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


def test_it_serves_and_reaches_for_nothing(tiny_models: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    environ = {**AWS, "COSMOS_MEDIA_HOSTS": "*", "SAGEMAKER_SAFE_PORT_RANGE": "23000-23999"}
    within = shut_in({MOUNT: tiny_models}, trace)
    with running_server(None, tmp_path, within=within, **environ) as server:
        _begun(server)
        with inside(server.process.pid) as call:
            call(server.wait_until_ready)
            call(_everything_is_answered, server, clip(tmp_path / "a.mp4"))
            assert reached_for(trace) == set()
            call(_what_needs_a_network_is_refused, server)
            assert reached_for(trace)  # or the watch would be blind
    assert server.process.returncode == 0
    assert f"the model folder is {MOUNT} (mounted there)" in server.log
    assert "Traceback" not in server.log


def _begun(server: Server) -> None:
    """Wait until the process that we started has become the server, in a network of its own."""
    while b"listening on" not in server.log_path.read_bytes():
        assert server.process.poll() is None, server.log


def _everything_is_answered(server: Server, video: bytes) -> None:
    assert server.client.get("/ping").status_code == 200
    assert server.invoke(IMAGE).status_code == 200
    film = server.invoke(IMAGE | {"num_output_frames": 5, "input_path": data_url(png(), "image/png")})
    assert base64.b64decode(film.json()["video"])[4:8] == b"ftyp"
    question = {"model": "reason2", "prompt": "What moves?", "max_tokens": 2}
    assert server.invoke(question).json()["text"]
    assert server.invoke(question | {"video": data_url(video, "video/mp4")}).json()["text"]
    assert server.client.get("/metrics").status_code == 200


def _what_needs_a_network_is_refused(server: Server) -> None:
    question = {"model": "reason2", "prompt": "x", "max_tokens": 1}
    for address in ("s3://bucket/a.png", "https://media.example.com/a.png"):
        answer = server.invoke(question | {"image": address})
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "image")
    stored = server.invoke(IMAGE | {"output_s3_uri": "s3://bucket/results/"})
    assert (stored.status_code, stored.json()["error"]["type"]) == (500, "store_failed")
    assert "S3 cannot be reached from here" in stored.text


def test_where_nothing_is_mounted_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    within = shut_in({MOUNT: tmp_path / "empty"})
    with running_server(None, tmp_path, within=within) as server:
        assert server.process.wait(60) == 3
    (line,) = [line for line in server.log.splitlines() if "there is no model" in line]
    assert f"{MOUNT} is empty; {CHANNELS}/model does not exist. COSMOS_MODEL_DIR may name" in line


def test_the_channel_is_taken_where_the_mount_holds_no_model(tmp_path: Path) -> None:
    (tmp_path / "guards" / "guardrails").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    within = shut_in({MOUNT: tmp_path / "guards", f"{CHANNELS}/model": tmp_path / "model"})
    with running_server(None, tmp_path, within=within) as server:
        assert server.process.wait(60) == 3
    assert f"the model folder is {CHANNELS}/model (mounted there)" in server.log
    assert "config.json names bert" in server.log


def test_a_repository_without_a_network_is_one_line(tmp_path: Path) -> None:
    within = shut_in({})
    with running_server(None, tmp_path, within=within, HF_MODEL_ID="org/model", HF_HOME=str(tmp_path)) as server:
        assert server.process.wait(60) == 3
    (line,) = [line for line in server.log.splitlines() if "cannot serve" in line]
    assert "org/model (revision main) cannot be fetched: the hub cannot be reached (" in line
    assert line.endswith("put its files into /opt/ml/model and unset HF_MODEL_ID")


def test_what_the_repository_lacks_comes_from_the_channels(tiny_native: Path, tmp_path: Path) -> None:
    """NVIDIA's own files are mounted, and everything that is not in them lies in a channel of its own."""
    shutil.copytree(tiny_native, tmp_path / "model")
    names = {"text_encoder": "text_encoder", "tokenizer.pth": "vae/tokenizer.pth", "guardrails": "guardrails"}
    for name, place in names.items():
        (tmp_path / "channels" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).rename(tmp_path / "channels" / place)
    within = shut_in(
        {MOUNT: tmp_path / "model"}
        | {f"{CHANNELS}/{name}": tmp_path / "channels" / name for name in ("text_encoder", "vae", "guardrails")}
    )
    with running_server(None, tmp_path, within=within) as server:
        _begun(server)
        with inside(server.process.pid) as call:
            call(server.wait_until_ready)
            assert call(server.invoke, {key: IMAGE[key] for key in IMAGE if key != "model"}).status_code == 200
    assert f"from {CHANNELS}/guardrails" in server.log
