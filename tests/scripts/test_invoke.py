"""Which files are sent along with a job."""

import json

from scripts.invoke import named_files
from tests.conftest import SAMPLES


def test_every_video_of_nvidias_batch_file_is_sent_along() -> None:
    lines = (SAMPLES / "predict1" / "autoregressive_video2world.jsonl").read_text().splitlines()
    named = [list(named_files(json.loads(line))) for line in lines]
    assert named == [[f"assets/autoregressive/batch_inputs/{number}.mp4"] for number in range(10)]


def test_what_names_no_file_is_left_alone() -> None:
    job = {"prompt": "See a.mp4.", "image": "data:image/png;base64,A.B", "visual_input": "x", "extra": {"image": "a.b"}}
    assert list(named_files(job)) == []
    assert list(named_files({"messages": [{"image_url": {"url": "a.png"}}], "input_control": "b.mp4"})) == [
        "a.png",
        "b.mp4",
    ]
