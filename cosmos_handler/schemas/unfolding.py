"""What a body says elsewhere than in a field of its own: texts in files that came along, and NIM's nested numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.upload import Upload

# NVIDIA's fields that name a file with a text in it, and the field that the text belongs in.
_TEXTS = {"prompt_path": "prompt", "negative_prompt_file": "negative_prompt"}
# Which Cosmos 3's sample_args.json name, and which does not come along.
NVIDIAS_NEGATIVE_PROMPT = "neg_prompts.json"
_VIDEO_PARAMS = {"height": "height", "width": "width", "frames_count": "num_frames", "frames_per_sec": "fps"}
_MAX_TEXT_BYTES = 2**20
_MAX_EXTRA_KEYS = 100
_MAX_EXTRA_CHARACTERS = 65_536  # a kept job keeps it in memory, and every list of jobs repeats it


@dataclass(frozen=True)
class Unfolded:
    """A body with every idea in a field of its own.

    words: for the fields that were not there, the client's words. media: the uploads that are not texts of it.
    """

    flat: dict[str, Any]
    words: dict[str, str]
    media: dict[str, Upload]


def unfold(body: Mapping[str, Any], uploads: Mapping[str, Upload], *, strict: bool = True) -> Unfolded:
    """strict: False for forms, whose values are all text. Raises InvalidField."""
    flat = dict(body)
    words: dict[str, str] = {}
    media = dict(uploads)
    for key, field in _TEXTS.items():
        path = flat.get(key)
        if key == "negative_prompt_file" and _is_nvidias_own(path) and path not in uploads:
            flat[key] = NVIDIAS_NEGATIVE_PROMPT  # which the request of the family knows, whatever folder it lay in
            continue
        flat.pop(key, None)
        if path is not None:
            _put(flat, words, field, _text(key, path, uploads), key)
            media.pop(path, None)
    nested = flat.pop("video_params", None)
    if nested is not None:
        _unfold_video_params(nested, flat, words)
    # NIM's clients switch it off where it is on by default; here it is off.
    upsampling = flat.get("prompt_upsampling")
    if upsampling is False or (not strict and str(upsampling).lower() == "false"):
        del flat["prompt_upsampling"]
    return Unfolded(flat, words, media)


def take_echo(flat: dict[str, Any]) -> dict[str, Any]:
    """`name` and `extra`, which every answer repeats; `extra` is taken out. Raises InvalidField."""
    echo = {"name": flat["name"]} if flat.get("name") is not None else {}
    extra = flat.pop("extra", None)
    if extra is None:
        return echo
    if not isinstance(extra, dict) or len(extra) > _MAX_EXTRA_KEYS:
        raise InvalidField("extra", "is not an object", allowed=f"an object of at most {_MAX_EXTRA_KEYS} keys")
    if len(json.dumps(extra)) > _MAX_EXTRA_CHARACTERS:
        raise InvalidField("extra", "is too long", allowed=f"up to {_MAX_EXTRA_CHARACTERS} characters of JSON")
    return {**echo, "extra": extra}


def as_written(error: InvalidField, words: Mapping[str, str]) -> InvalidField:
    """The same complaint in the client's own words."""
    if error.field not in words:
        return error
    return type(error)(words[error.field], error.problem, allowed=error.allowed)


def _put(flat: dict[str, Any], words: dict[str, str], field: str, value: Any, written: str) -> None:
    if flat.get(field) is not None:
        raise InvalidField(written, f"cannot be given together with {field}", allowed="one of the two")
    flat[field] = value
    words[field] = written


def _is_nvidias_own(path: Any) -> bool:
    return isinstance(path, str) and PurePosixPath(path).name == NVIDIAS_NEGATIVE_PROMPT


def _text(key: str, path: Any, uploads: Mapping[str, Upload]) -> str:
    if not isinstance(path, str):
        raise InvalidField(key, "is not text", allowed="the name of a multipart part that holds the text")
    upload = uploads.get(path)
    if upload is None:
        raise InvalidField(
            key, f"names {path[:200]!r}, which did not come along", allowed="the name of a multipart part"
        )
    if upload.size_bytes > _MAX_TEXT_BYTES:
        problem = f"names {path[:200]!r}, which is too long for a text"
        raise InvalidField(key, problem, allowed=f"up to {_MAX_TEXT_BYTES} bytes")
    try:
        text = upload.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InvalidField(key, f"names {path[:200]!r}, which is not UTF-8 text") from None
    return _on_one_line(key, path, text) if path.lower().endswith(".json") else text


def _on_one_line(key: str, path: str, text: str) -> str:
    """A caption as NVIDIA's framework reads it from a file: written anew, however the file breaks its lines."""
    try:
        return json.dumps(json.loads(text))
    except (ValueError, RecursionError):
        raise InvalidField(key, f"names {path[:200]!r}, which is not JSON") from None


def _unfold_video_params(nested: Any, flat: dict[str, Any], words: dict[str, str]) -> None:
    if not isinstance(nested, dict):
        raise InvalidField("video_params", "is not an object", allowed=", ".join(_VIDEO_PARAMS))
    for key, value in nested.items():
        written = f"video_params.{key}"
        if key not in _VIDEO_PARAMS:
            raise InvalidField(written, "is not a field of this request", allowed=", ".join(_VIDEO_PARAMS))
        _put(flat, words, _VIDEO_PARAMS[key], value, written)
