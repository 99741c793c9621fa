"""The model and the task are told before the fields are looked at."""

from typing import Any

import pytest

from cosmos_handler.errors import InvalidField, UnknownModel
from cosmos_handler.schemas.choice import Choice, choose
from cosmos_handler.schemas.served import Served

PREDICT = Served("predict", ("p",), "predict2.5", ("text2world", "image2world", "video2world"))
TRANSFER = Served("transfer", (), "transfer2.5", ("transfer",))
OMNI = Served("omni", (), "cosmos3", ("text2image", "text2video", "image2video", "video2video", "reasoner"))
REASON = Served("reason", (), "reason2", ("reasoner",))


def chosen(body: dict[str, Any], *models: Served) -> Choice:
    return choose(
        body,
        models,
        generation_names={"num_steps"},
        reasoning_names={"max_tokens"},
        media_names={"input_path", "vision_path"},
    )


@pytest.mark.parametrize(
    ("body", "models", "model", "task"),
    [
        ({}, [PREDICT], "predict", "text2world"),
        ({"image": "x"}, [PREDICT], "predict", "image2world"),
        ({"video": "x"}, [PREDICT, REASON, OMNI], "", ""),
        ({"inference_type": "text2video"}, [PREDICT], "predict", "text2world"),
        ({"inference_type": "image2world"}, [OMNI], "omni", "image2video"),
        ({"model_mode": "text2image"}, [PREDICT, OMNI], "omni", "text2image"),
        ({"num_steps": 3}, [OMNI], "omni", "text2video"),
        ({"max_tokens": 3, "image": "x"}, [OMNI], "omni", "reasoner"),
        ({"messages": []}, [PREDICT, OMNI], "omni", "reasoner"),
        ({"edge": {}}, [PREDICT, TRANSFER], "transfer", "transfer"),
        ({"edge": None, "num_steps": 1}, [PREDICT, TRANSFER], "predict", "text2world"),
        ({"vision_path": "x"}, [TRANSFER], "transfer", "transfer"),
        ({"vision_path": "x"}, [REASON], "reason", "reasoner"),
        ({"vision_path": "a/robot.JPG", "num_steps": 1}, [OMNI], "omni", "image2video"),
        ({"vision_path": "https://example.com/a.mp4", "num_steps": 1}, [OMNI], "omni", "video2video"),
        ({"input_path": "data:video/mp4;base64,AAAA"}, [PREDICT], "predict", "video2world"),
        ({"num_frames": 1, "num_steps": 1}, [OMNI], "omni", "text2image"),
        ({"num_frames": 1, "num_steps": 1}, [PREDICT], "predict", "text2world"),
        ({"model": "p"}, [PREDICT, REASON], "predict", "text2world"),
        ({"model": "", "messages": []}, [PREDICT, REASON], "reason", "reasoner"),
        ({"model": "reason"}, [PREDICT, REASON], "reason", "reasoner"),
    ],
)
def test_the_body_tells(body: dict[str, Any], models: list[Served], model: str, task: str) -> None:
    if not model:
        with pytest.raises(InvalidField) as caught:
            chosen(body, *models)
        assert caught.value.field == "inference_type"
        return
    found = chosen(body, *models)
    assert (found.model.name, found.task) == (model, task)


@pytest.mark.parametrize(
    ("body", "models", "field", "allowed"),
    [
        ({"model": "q"}, [PREDICT, REASON], "model", "predict: text2world"),
        ({"model": "predict", "messages": []}, [PREDICT, REASON], "model", "text2world, image2world, video2world"),
        ({"model": 7}, [PREDICT], "model", "name or alias"),
        ({"model_mode": "policy"}, [OMNI], "model_mode", "omni: text2image"),
        ({"inference_type": ["text2world"]}, [PREDICT], "inference_type", "text2world"),
        ({"inference_type": "text2world"}, [PREDICT, OMNI], "model", "omni, predict"),
        ({"vision_path": "x", "num_steps": 1}, [PREDICT], "inference_type", "image2world"),
        ({"edge": {}}, [PREDICT], "inference_type", "predict"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_there_is(
    body: dict[str, Any], models: list[Served], field: str, allowed: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        chosen(body, *models)
    assert caught.value.field == field
    assert allowed in (caught.value.allowed or "")


def test_a_model_that_is_not_there_is_its_own_kind_of_error() -> None:
    with pytest.raises(UnknownModel, match="there is no model 'q'"):
        chosen({"model": "q"}, PREDICT)
