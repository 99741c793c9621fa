"""What NVIDIA tells each family to stay away from when the request says nothing."""

import json
from pathlib import Path

# Predict 1 to 2.5, in NVIDIA's code and in diffusers alike.
PREDICT = (
    "The video captures a series of frames showing ugly scenes, static with no motion, motion blur, "
    "over-saturation, shaky footage, low resolution, grainy texture, pixelated images, poorly lit areas, "
    "underexposed and overexposed scenes, poor color balance, washed out colors, choppy sequences, "
    "jerky movements, low frame rate, artifacting, color banding, unnatural transitions, outdated special effects, "
    "fake elements, unconvincing visuals, poorly edited content, jump cuts, visual noise, and flickering. "
    "Overall, the video is of poor quality."
)

# Transfer 1 and 2.5 in NVIDIA's code; diffusers has Predict's text there.
TRANSFER = (
    "The video captures a game playing, with bad crappy graphics and cartoonish frames. "
    "It represents a recording of old outdated games. The lighting looks very fake. "
    "The textures are very raw and basic. The geometries are very primitive. "
    "The images are very pixelated and of poor CG quality. There are many subtitles in the footage. "
    "Overall, the video is unrealistic at all."
)

# Cosmos 3 is trained on captions in JSON: the one that describes a bad video, as NVIDIA's framework passes it on.
COSMOS3 = json.dumps(json.loads(Path(__file__).with_name("cosmos3_neg_prompts.json").read_text(encoding="utf-8")))
