"""No text of a client's or a deployer's can become a header of its own."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from cosmos_handler.api.render import headers
from cosmos_handler.engine.job import Job
from cosmos_handler.messages.results import VideoOutput
from cosmos_handler.messages.wire import Done
from tests.fakes import REPORT, video_task

# Every character, the halves of pairs aside, which bodies cannot hold.
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=80) | st.sampled_from(
    ["a\r\nSet-Cookie: x=1", "\n\n<html>", "\x00", "é\u2028\u0085", "\r", 'x"; filename="../../etc/passwd']
)
EXTRA = st.dictionaries(TEXT, st.recursive(TEXT | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3)))


@settings(max_examples=300, deadline=None)
@given(name=TEXT, extra=EXTRA, model=TEXT, prompt=TEXT)
def test_what_clients_and_models_are_called_stays_inside_its_header(
    name: str, extra: dict[str, Any], model: str, prompt: str
) -> None:
    job = Job("job-1", model=model, task=video_task(), folder=Path("/nowhere"), echo={"name": name, "extra": extra})
    output = VideoOutput(
        path="/nowhere/video.mp4", media_type="video/mp4", num_frames=1, num_frames_generated=1, height=16, width=16,
        fps=16.0,
    )  # fmt: skip
    report = REPORT.model_copy(update={"model": model, "upsampled_prompt": prompt})
    made = headers(job, Done(job_id="job-1", output=output, report=report))
    raw = Response(b"", headers=made).raw_headers
    assert {key for key, _ in raw} == {b"x-cosmos-job-id", b"x-cosmos-result", b"content-length"}
    for _, value in raw:
        assert all(0x20 <= byte < 0x7F for byte in value)
    assert json.loads(made["X-Cosmos-Result"])["model"] == model
