"""SigLIP's eyes alone."""

from transformers import SiglipVisionModel


class SiglipVision(SiglipVisionModel):  # type: ignore[misc]  # the library is not typed
    """The vision model out of a file that holds the text model as well, which the library would warn of."""

    _keys_to_ignore_on_load_unexpected = (r"^text_model\.", r"^logit_(scale|bias)$")
