"""What `scripts/demo` does once everything is installed: checkpoints, server, a video, an answer, a table."""

import argparse
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "model_artifacts" / "tiny"
PROMPT = "A robotic arm lifts a red cube from a white table and sets it down beside a blue one."
QUESTION = "What moves in this video, and in which direction?"
# Small enough for a minute on two cores; a real checkpoint is asked for its own defaults instead.
TINY_SETTINGS = {"resolution": "128,192", "frames": 17, "steps": 8, "max_tokens": 40}
# The server is on this machine: never through the proxy that the environment names.
HERE = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> int:
    """Run the demo; 0 when everything worked that the models can do."""
    options = parse()
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    model_dir = options.model_dir or tiny_checkpoints()
    if options.model_dir is None:
        say("The checkpoints are tiny and random: everything is real but the picture, which shows coloured noise.")
    image = options.image or example_image(output / "input.png")
    video = options.video or example_video(output / "input.mp4")
    port = options.port
    log_path = output / "server.log"
    with log_path.open("w") as log:
        server = start_server(model_dir, port, log)
        try:
            seconds = wait_until_ready(server, port, log_path)
            say(f"The server is ready on port {port} after {seconds:.1f} s. Its log: {log_path}")
            rows = make_video(port, image, options, output / "video.mp4") + answer(port, video, options)
            print_table(rows)
            if options.keep:
                keep(server, port)
        finally:
            stop(server)
    return 0 if rows else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Makes .venv, installs the lock, writes tiny checkpoints, starts ./serve, sends an image and a "
        "prompt, writes demo_output/video.mp4; sends a video and a question, prints the answer; shows timings; stops.",
    )
    parser.add_argument("--image", type=Path, help="picture to start the video from (default: one is drawn)")
    parser.add_argument("--prompt", default=PROMPT, help="what shall happen")
    parser.add_argument("--video", type=Path, help="video to ask about (default: one is drawn)")
    parser.add_argument("--question", default=QUESTION, help="what to ask")
    parser.add_argument(
        "--model-dir", type=Path, help="real weights instead of tiny ones: a folder as for /opt/ml/model"
    )
    parser.add_argument("--resolution", help="H,W of the video (default: the model's own; with tiny ones 128,192)")
    parser.add_argument("--frames", type=int, help="frames of the video (default: the model's own; with tiny ones 17)")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's own; with tiny ones 8)")
    parser.add_argument("--max-tokens", type=int, help="longest answer (default: the model's own; with tiny ones 40)")
    parser.add_argument("--output", type=Path, default=ROOT / "demo_output", help="where the files go")
    parser.add_argument("--port", type=int, help="port of the server (default: a free one; with --keep 8080)")
    parser.add_argument("--keep", action="store_true", help="leave the server running until Ctrl-C")
    options = parser.parse_args()
    for name, path in (("--image", options.image), ("--video", options.video)):
        if path is not None and not path.is_file():
            parser.error(f"argument {name}: {path} is not a file")
    if options.model_dir is not None and not options.model_dir.is_dir():
        parser.error(f"argument --model-dir: {options.model_dir} is not a folder")
    options.port = options.port or (8080 if options.keep else free_port())
    if problem := why_not(options.port):
        parser.error(f"argument --port: {options.port} cannot be listened on: {problem}")
    if options.model_dir is None:
        for name, value in TINY_SETTINGS.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
    return options


def say(text: str) -> None:
    """A line for the person in front of it."""
    print(text, flush=True)


def tiny_checkpoints() -> Path:
    """Tiny checkpoints of both families; written again only where an earlier version wrote them."""
    sources = sorted(
        path for path in (ROOT / "scripts" / "tiny").rglob("*") if path.suffix in (".py", ".txt", ".jinja")
    )
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    for name in ("predict2.5", "reason2"):
        stamp = TINY / name / "complete"
        if not stamp.exists() or stamp.read_text() != version:
            run = [sys.executable, str(ROOT / "scripts" / "make_tiny.py"), name, "--out", str(TINY / name), "--force"]
            subprocess.run(run, check=True)
            stamp.write_text(version)
    return TINY


def example_image(path: Path) -> Path:
    """A drawn scene: a table, a red cube, a grey arm."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (640, 448), (205, 215, 225))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 300, 640, 448), fill=(240, 238, 232))
    draw.rectangle((250, 230, 330, 310), fill=(200, 40, 40))
    draw.line((600, 40, 420, 120, 300, 225), fill=(90, 95, 100), width=26)
    image.save(path)
    return path


def example_video(path: Path) -> Path:
    """Two seconds of a red square that moves from left to right."""
    import numpy as np

    sys.path.insert(0, str(ROOT))
    from cosmos_handler.media.video import write_mp4

    frames = np.full((32, 128, 192, 3), 225, dtype=np.uint8)
    for number, frame in enumerate(frames):
        frame[48:80, number * 5 : number * 5 + 32] = (200, 40, 40)
    write_mp4(path, frames, fps=16, metadata={})
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def why_not(port: int) -> str:
    """Why a server could not take this port, or nothing. Asked first, as another server there would answer /ping."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""


def start_server(model_dir: Path, port: int, log: Any) -> subprocess.Popen[bytes]:
    """./serve, as the container starts it."""
    say(f"Starting ./serve with {model_dir} …")
    settings = {"COSMOS_MODEL_DIR": str(model_dir), "SAGEMAKER_BIND_TO_PORT": str(port), "COSMOS_HOST": "127.0.0.1"}
    settings |= {"HF_MODEL_ID": "", "HF_MODEL_REVISION": ""}  # what is set in the shell would contradict the folder
    return subprocess.Popen([str(ROOT / "serve")], env={**os.environ, **settings}, stdout=log, stderr=log)


def wait_until_ready(server: subprocess.Popen[bytes], port: int, log_path: Path) -> float:
    """Ask /ping until it says 200, as SageMaker does."""
    began = time.monotonic()
    while server.poll() is None:
        try:
            with HERE.open(f"http://127.0.0.1:{port}/ping", timeout=2):
                return time.monotonic() - began
        except OSError:
            time.sleep(0.2)
            show(f"loading {time.monotonic() - began:5.1f} s")
    raise SystemExit(f"the server ended with exit code {server.returncode}:\n{log_path.read_text()[-3000:]}")


def make_video(port: int, image: Path, options: argparse.Namespace, path: Path) -> list[tuple[str, str, float]]:
    """Image and prompt to a video; its stages and seconds."""
    say(f"\nimage2world: {image}\n  prompt: {options.prompt}")
    body = {"inference_type": "image2world", "prompt": options.prompt, "input_path": data_url(image, "image/png")}
    wishes = {"resolution": options.resolution, "num_output_frames": options.frames, "num_steps": options.steps}
    result = invoke(port, body | {name: value for name, value in wishes.items() if value is not None})
    if result is None:
        return []
    path.write_bytes(base64.b64decode(result["video"]))
    size = f"{result['width']}x{result['height']}, {result['num_output_frames']} frames, {result['fps']:g} fps"
    say(f"  wrote {path} ({size})")
    return [("image2world", stage, seconds) for stage, seconds in result["stage_seconds"].items()]


def answer(port: int, video: Path, options: argparse.Namespace) -> list[tuple[str, str, float]]:
    """Video and question to text; its stages and seconds."""
    say(f"\nreasoner: {video}\n  question: {options.question}")
    body = {"inference_type": "reasoner", "prompt": options.question, "video": data_url(video, "video/mp4")}
    result = invoke(port, body | ({} if options.max_tokens is None else {"max_tokens": options.max_tokens}))
    if result is None:
        return []
    if result["reasoning"]:
        say(f"  reasoning: {result['reasoning']}")
    tokens = result["usage"]["completion_tokens"]
    say(f"  answer: {result['text']!r}\n  ({tokens} tokens, ended by {result['finish_reason']})")
    return [("reasoner", stage, seconds) for stage, seconds in result["stage_seconds"].items()]


def data_url(path: Path, media_type: str) -> str:
    """A file inside a URL; the server looks at the bytes, not at the media type."""
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def invoke(port: int, body: dict[str, Any]) -> dict[str, Any] | None:
    """POST /invocations with progress; None where no model can do it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
    )
    try:
        with HERE.open(request) as response:
            for name, data in events(response):
                if name == "progress":
                    show(bar(data))
                elif name == "result":
                    show("")
                    return data
                elif name == "error":
                    raise SystemExit(f"the job failed: {data['error']['message']}")
    except urllib.error.HTTPError as error:
        fault = json.load(error)["error"]
        if fault["type"] == "unknown_model":
            say(f"  left out: {fault['message']}")
            return None
        raise SystemExit(f"the request was refused: {fault['message']}") from None
    raise SystemExit("the stream ended without a result")


def events(response: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The server-sent events of a response."""
    name = ""
    for raw in response:
        key, _, value = raw.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


def bar(progress: dict[str, Any], width: int = 30) -> str:
    """One step as a line."""
    step, total = progress["step"], progress["num_steps"]
    filled = width * step // total if total else 0
    return f"  {progress['stage']:<14} [{'#' * filled}{'.' * (width - filled)}] {step}/{total}"


def show(line: str) -> None:
    """A line that the next one replaces; left out where nobody watches."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="", flush=True)


def print_table(rows: list[tuple[str, str, float]]) -> None:
    """Seconds per stage."""
    say("\n  task         stage             seconds")
    for task, stage, seconds in rows:
        say(f"  {task:<12} {stage:<16} {seconds:>8.2f}")


def keep(server: subprocess.Popen[bytes], port: int) -> None:
    """Serve until Ctrl-C."""
    try:
        say(f"\nServing on http://127.0.0.1:{port}; Ctrl-C ends it.")
        server.wait()
    except KeyboardInterrupt:
        say("")


def stop(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM, as SageMaker sends it. Ctrl-C reaches the server too, which may have ended by itself already."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    say(f"The server has stopped with exit code {server.returncode}.")


if __name__ == "__main__":
    sys.exit(main())
