"""What a model process is asked to do, in plain values: sizes in pixels, media as decoded files."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cosmos_handler.media.clip import MediaFile

# How frames are written: as a video, as a picture, or as they are.
Encoding = Literal["mp4", "png", "npz"]
MEDIA_TYPES: Mapping[Encoding, str] = {"mp4": "video/mp4", "png": "image/png", "npz": "application/x-npz"}


class Value(BaseModel):
    """Frozen, and nothing unknown in it: all that crosses the pipe is one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Generation(Value):
    """What every task for pictures says. num_frames is one the VAE can make, num_output_frames of them are handed on.

    guidance: in the convention of the family's own pipeline.
    """

    prompt: str
    negative_prompt: str | None
    seed: int
    guidance: float
    num_steps: int
    num_frames: int
    num_output_frames: int
    height: int
    width: int
    fps: float
    encoding: Encoding
    upsampling: "Upsampling | None" = None

    @property
    def makes_picture(self) -> bool:
        """Whether a still picture comes of it, and not a video."""
        return False


class Generate(Generation):
    """Make a video with Predict 2.5, from words alone or going on from an image or a video.

    num_chunks: how many times num_frames are made, each time going on from the last chunk_overlap frames of the time
        before, which are not repeated in the video.
    lora: the name of the adapter to switch on for this task alone, lora_scale times as strong as it was trained.
    """

    kind: Literal["generate"] = "generate"
    inference_type: Literal["text2world", "image2world", "video2world"]
    media: MediaFile | None
    num_latent_conditional_frames: int
    num_chunks: int = 1
    chunk_overlap: int = 1
    lora: str | None = None
    lora_scale: float = 1.0


class Transfer(Generation):
    """Make a video after one control with Transfer 2.5, in chunks where it is long.

    num_frames: of the whole video, and num_output_frames too. height, width: what the model makes; output_height and
    output_width: what each picture of it is handed on at.
    control_media: the control's map for every frame; None: computed from video, as strongly as preset says.
    num_conditional_frames: frames at the end of each chunk that the next one begins with.
    show_control, show_input: hand on the map and the input beside the video, from left to right.
    """

    kind: Literal["transfer"] = "transfer"
    control: Literal["edge", "vis", "depth", "seg"]
    control_media: MediaFile | None
    video: MediaFile | None
    preset: Literal["very_low", "low", "medium", "high", "very_high"]
    control_weight: float
    num_frames_per_chunk: int
    num_conditional_frames: int
    output_height: int
    output_width: int
    show_control: bool
    show_input: bool


class Continue(Generation):
    """Go on with an image or the end of a video, token by token, with an autoregressive Cosmos.

    prompt: "" where there is none. media: the image, or a video whose last num_input_frames are what is gone on from.
    num_frames: made at a time, those given included: one, and 8 for every further frame of tokens. num_chunks: how many
        times, each going on from the last chunk_overlap frames of the time before, which are not repeated in the video.
    temperature, top_p: of the draw of every token; temperature 0 takes the likeliest.
    decoder: what makes frames of the tokens: "diffusion", in num_steps with guidance, or the "tokenizer", which has no
        use for either.
    """

    kind: Literal["continue"] = "continue"
    inference_type: Literal["image2world", "video2world"]
    media: MediaFile | None
    num_input_frames: int
    temperature: float
    top_p: float
    decoder: Literal["diffusion", "tokenizer"]
    num_chunks: int = 1
    chunk_overlap: int = 9


class Metadata(Value):
    """The sentences that NVIDIA adds to the prompts of Cosmos 3; None where there is none.

    negative: whether the negative prompt gets none of them, the same ones, or the inverse ones.
    aspect_ratio: the name of the size's ratio, where it has one, for captions in JSON.
    """

    duration: str | None
    resolution: str | None
    negative: Literal["none", "same", "inverse"]
    inverse_duration: str
    inverse_resolution: str
    aspect_ratio: str | None


class Omni(Generation):
    """Make a picture or a video with Cosmos 3.

    media: the image to go on from, or the frames of a video; condition_frames: the latent frames that are kept of them.
    use_system_prompt: None where the checkpoint decides.
    """

    kind: Literal["omni"] = "omni"
    mode: Literal["text2image", "text2video", "image2video", "video2video"]
    media: MediaFile | None
    condition_frames: tuple[int, ...]
    shift: float
    metadata: Metadata
    use_system_prompt: bool | None

    @property
    def makes_picture(self) -> bool:
        """Whether a still picture comes of it, and not a video."""
        return self.mode == "text2image"


class Piece(Value):
    """Words, or a decoded image or video, inside a turn. `field` is what a complaint about it should name."""

    text: str | None = None
    media: MediaFile | None = None
    field: str = "prompt"


class Turn(Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    pieces: tuple[Piece, ...]


class Vision(Value):
    """How large images and frames are looked at; None leaves it to the processor.

    min_pixels, max_pixels: of an image, or of each frame of a video.
    total_pixels: of all frames of one video, two frames that the model merges counting once.
    resized_height, resized_width: this very size instead.
    shortest_edge, longest_edge: pixels as the processor's own `size` means them.
    timestamps: write the time below every frame of a video.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    resized_height: int | None = None
    resized_width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None
    timestamps: bool = False


class Schema(Value):
    """A JSON schema as JSON text. `field` is what a complaint about it should name."""

    text: str
    field: str


class Answer(Value):
    """Continue a conversation. None means: as the checkpoint's generation_config.json says.

    max_tokens: as the request says; where it says nothing, default_max_tokens or what the context has room for.
    presence_penalty: subtracted from the logit of every token that was generated before.
    reasoning: think first, between tags.
    json_schema: the answer is JSON that this schema allows.
    grounding: find boxes or points in the answer.
    """

    kind: Literal["answer"] = "answer"
    turns: tuple[Turn, ...]
    max_tokens: int | None
    default_max_tokens: int = 4096
    do_sample: bool | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    repetition_penalty: float | None
    presence_penalty: float = 0.0
    seed: int
    vision: Vision = Vision()
    reasoning: bool = False
    json_schema: Schema | None = None
    grounding: Literal["boxes", "points"] | None = None


class Upsampling(Value):
    """Have the prompt written by a reasoner of the same process first.

    model: its name. field: what a complaint about the wish itself should name.
    """

    model: str
    field: str
    question: Answer


Task = Annotated[Generate | Transfer | Omni | Continue | Answer, Field(discriminator="kind")]
