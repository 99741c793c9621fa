"""The short-lived process that decodes untrusted bytes: `python -m cosmos_handler.media.decode`.

One request comes on standard input, one line of JSON goes out: a MediaFile, or the reason of a Refusal and its problem.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosmos_handler.media.bounds import restrict_this_process
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.sniff import HEAD_BYTES, IMAGE_NAMES, VIDEO_NAMES, MediaFormat, sniff
from cosmos_handler.media.wanted import FirstFrames, LastFrames, SampledFrames, Wanted, WantedImage

# What is in a .npy file besides the frames.
_NPY_HEADER_BYTES = 4096


@dataclass(frozen=True)
class DecodeRequest:
    """Decode `source` to `output`, keeping what is wanted."""

    source: str
    output: str
    wanted: Wanted
    limits: MediaLimits

    def to_json(self) -> str:
        """One line for the process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "DecodeRequest":
        """What to_json made."""
        fields: dict[str, Any] = json.loads(text)
        kinds = {kind.kind: kind for kind in (WantedImage, FirstFrames, LastFrames, SampledFrames)}
        wanted = kinds[fields["wanted"]["kind"]](**fields["wanted"])
        return cls(fields["source"], fields["output"], wanted, MediaLimits(**fields["limits"]))


def decode_file(request: DecodeRequest) -> MediaFile:
    """Decode in this process. Raises Refusal."""
    source, output, wanted, limits = Path(request.source), Path(request.output), request.wanted, request.limits
    with source.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise Refusal("media", "is empty")
    found = sniff(head)
    if found is None:
        raise Refusal("media", f"is neither an image ({IMAGE_NAMES}) nor a video ({VIDEO_NAMES})")
    _check_kind(found, wanted)
    # Only the library that is needed: Pillow or FFmpeg cost a tenth of a second each.
    if isinstance(wanted, WantedImage):
        from cosmos_handler.media.decode_image import decode_image

        return decode_image(source, output, found=found, limits=limits)
    from cosmos_handler.media.decode_video import decode_video

    return decode_video(source, output, wanted, found=found, limits=limits)


def _check_kind(found: MediaFormat, wanted: Wanted) -> None:
    if isinstance(wanted, WantedImage) and found.kind != "image":
        raise Refusal("media", f"is a video ({found.name}), where an image is needed ({IMAGE_NAMES})")
    if not isinstance(wanted, WantedImage) and found.kind != "video":
        raise Refusal("media", f"is an image ({found.name}), where a video is needed ({VIDEO_NAMES})")


def main() -> None:
    """Answer the one request. A fault of ours ends in a traceback and no answer."""
    request = DecodeRequest.from_json(sys.stdin.read())
    limits = request.limits
    restrict_this_process(
        seconds=limits.decode_timeout_seconds,
        memory_bytes=limits.decode_memory_bytes,
        file_bytes=limits.max_decoded_bytes + _NPY_HEADER_BYTES,
        threads=limits.decode_threads,
    )
    answer: dict[str, Any]
    try:
        answer = asdict(decode_file(request))
    except Refusal as refusal:
        answer = {"error": refusal.reason, "problem": refusal.problem}
    except MemoryError:
        most = limits.decode_memory_bytes
        answer = {"error": "too_large", "problem": f"needs more than {most} bytes of memory to decode"}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
