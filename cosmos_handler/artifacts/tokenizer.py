"""Checks that the files of a tokenizer, and of the processor around it, are all there."""

from typing import Any

from cosmos_handler.artifacts.inspection import Inspection, joined


def check_tokenizer(look: Inspection, *, folder: str) -> None:
    """Notes what a tokenizer lacks: its settings or its vocabulary."""
    look.json_object(joined(folder, "tokenizer_config.json"))
    one, two, three = (joined(folder, file) for file in ("tokenizer.json", "vocab.json", "merges.txt"))
    if not (look.has(one) or (look.has(two) and look.has(three))):
        look.fault(f"{one} is missing (and so is one of {two} and {three})")


def check_tokenizer_template(look: Inspection, *, folder: str) -> None:
    """Notes it when a tokenizer has no chat template: a generator wraps every prompt in it."""
    jinja, settings = joined(folder, "chat_template.jinja"), joined(folder, "tokenizer_config.json")
    if look.has(settings) and not look.has(jinja) and not _content(look, settings).get("chat_template"):
        look.fault(f"{jinja} is missing (and {settings} holds no chat_template)")


def check_processor(look: Inspection, *, own_video_settings: bool) -> None:
    """Notes what the processor of a reasoner lacks: image and video settings, and the chat template.

    own_video_settings: False where those for images will do for videos.
    """
    # Since transformers 5 all of it may be in processor_config.json; the chat template of a processor is never taken
    # from tokenizer_config.json.
    combined = _content(look, "processor_config.json")
    images = look.has("preprocessor_config.json")
    if not images and "image_processor" not in combined:
        look.fault("preprocessor_config.json is missing (and processor_config.json holds no image_processor)")
    elif (
        own_video_settings
        and not images
        and "video_processor" not in combined
        and not look.has("video_preprocessor_config.json")
    ):
        look.fault("video_preprocessor_config.json is missing (and processor_config.json holds no video_processor)")
    templates = ("chat_template.jinja", "chat_template.json")
    if not combined.get("chat_template") and not any(look.has(file) for file in templates):
        look.fault(f"{' or '.join(templates)} is missing")


def _content(look: Inspection, file: str) -> dict[str, Any]:
    """The object in a file that need not be there."""
    return look.json_object(file) or {} if look.has(file) else {}
