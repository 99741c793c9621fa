"""Files of several jobs, and NVIDIA's own files as requests: parsed, with stand-ins for the files that they name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cosmos_handler.api.json_text import parse_lines
from cosmos_handler.errors import InvalidBody, InvalidField, RequestError, TooLarge
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.samples import expand, is_several
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.upload import Upload
from tests.conftest import SAMPLES, sample

MODELS = (
    Served("predict", (), "predict2.5", ("text2world", "image2world", "video2world")),
    Served("omni", (), "cosmos3", ("text2image", "text2video", "image2video", "video2video", "reasoner")),
)
PREDICT, OMNI = MODELS[:1], MODELS[1:]


def parsed(name: str, models: tuple[Served, ...]) -> Iterator[Invocation]:
    """Every job of a sample file, with a text in each file that it names."""
    data = sample(name).read_bytes()
    content = parse_lines(data, name) if name.endswith(".jsonl") else json.loads(data)
    for job in expand(content):
        assert not isinstance(job, RequestError)
        uploads = {value: Upload.of(b"words") for key, value in job.items() if key.endswith(("_path", "_file"))}
        yield parse(job, models=models, uploads=uploads)


@pytest.mark.parametrize("kind", ["text2world", "image2world", "video2world"])
def test_predict_samples(kind: str) -> None:
    made = list(parsed(f"predict2.5/{kind}.json", PREDICT))
    assert len(made) == 2
    for invocation in made:
        assert invocation.task == kind
        assert invocation.request.prompt == "words"  # type: ignore[union-attr]
        # The text is taken; the medium is left for the inbox.
        assert len(invocation.uploads) == (0 if kind == "text2world" else 1)
        assert invocation.echo["name"]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("t2i", "text2image"),
        ("t2v", "text2video"),
        ("i2v", "image2video"),
        ("v2v", "video2video"),
        ("reasoner", "reasoner"),
        ("reasoner_image", "reasoner"),
        ("reasoner_video", "reasoner"),
    ],
)
def test_cosmos3_samples(name: str, task: str) -> None:
    (invocation,) = parsed(f"cosmos3/omni_inputs/{name}.json", OMNI)
    assert invocation.task == task
    raw = json.loads(sample(f"cosmos3/omni_inputs/{name}.json").read_text())
    assert invocation.echo == {key: raw[key] for key in ("name", "extra") if key in raw}
    assert set(invocation.uploads) == {raw[key] for key in ("vision_path",) if key in raw}


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("cosmos3/omni_inputs/action_*")), ids=lambda path: path.name)
def test_what_is_not_served_is_refused_by_name(path: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        list(parsed(str(path.relative_to(SAMPLES)), OMNI))
    assert refused.value.field == "model_mode"
    assert "text2image" in str(refused.value)


def test_several_and_one() -> None:
    assert not is_several({"prompt": "a"})
    assert is_several([{"prompt": "a"}])
    assert is_several({"samples": {}})
    assert expand([{"prompt": "a"}]) == [{"prompt": "a"}]


def test_samples_share_what_stands_beside_them() -> None:
    jobs = expand({"seed": 1, "samples": {"a": {"prompt": "x"}, "b": {"prompt": "y", "seed": 2}, "c": 3}})
    assert jobs[:2] == [{"seed": 1, "prompt": "x", "name": "a"}, {"seed": 2, "prompt": "y", "name": "b"}]
    assert isinstance(jobs[2], InvalidField)
    assert jobs[2].field == "samples.c"
    assert isinstance(expand({"name": "n", "samples": {"a": {}}})[0], InvalidField)
    assert isinstance(expand({"samples": {"a": {"name": "b"}}})[0], InvalidField)


def test_no_jobs_and_too_many() -> None:
    with pytest.raises(InvalidBody):
        expand([])
    with pytest.raises(TooLarge):
        expand([{}] * 1001)
