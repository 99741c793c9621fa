#!/usr/bin/env python3
"""Write 300 and more crafted files that are meant to do harm: pictures, videos and whole bodies of requests.

Bombs, lies, references to other files, files of two kinds, wrong encodings, mutants of whole files. Nothing in them is
run or downloaded; they are for sending to a server of one's own. `index.json` says what each is: an "image" or a
"video" to send as a medium, or a "body" with its content type. The same seed gives the same bytes again on the same
library versions.
"""

import argparse
import json
import sys
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scripts.hostile.bodies import all_bodies  # noqa: E402 - the path is set above
from scripts.hostile.images import all_images  # noqa: E402
from scripts.hostile.videos import all_videos  # noqa: E402


def write_corpus(folder: Path, seed: int) -> int:
    """Write every file and the index. Returns how many files there are."""
    # To be the same again is what this chance is for.
    pictures, videos, bodies = (Random(seed + number) for number in range(3))  # noqa: S311
    folder.mkdir(parents=True, exist_ok=True)
    media = [("image", name, data) for name, data in all_images(pictures)]
    media += [("video", name, data) for name, data in all_videos(videos)]
    index = []
    for kind, name, data in media:
        index.append({"file": f"{name}.bin", "kind": kind})
        (folder / f"{name}.bin").write_bytes(data)
    for name, content_type, data in all_bodies(bodies):
        index.append({"file": f"{name}.bin", "kind": "body", "content_type": content_type})
        (folder / f"{name}.bin").write_bytes(data)
    if len({entry["file"] for entry in index}) != len(index):
        raise AssertionError("two files have one name: this is a bug")
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    return len(index)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files; made if it is not there")
    parser.add_argument("--seed", type=int, default=0, help="of everything random in them (default: 0)")
    arguments = parser.parse_args()
    print(f"{write_corpus(arguments.out, arguments.seed)} files in {arguments.out}")


if __name__ == "__main__":
    main()
