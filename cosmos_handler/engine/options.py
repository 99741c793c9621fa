"""What the engine is told by whoever starts it."""

from dataclasses import dataclass, field
from pathlib import Path

from cosmos_handler.artifacts.elsewhere import Elsewhere
from cosmos_handler.artifacts.guardrail import GuardrailWish
from cosmos_handler.artifacts.source import ModelSource
from cosmos_handler.media.fetching import Fetching
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.storing import Storing


@dataclass(frozen=True)
class EngineOptions:
    """What the engine is told once.

    work_dir: jobs keep their files in a folder of their own under it, whose name says its owner, this server.
    elsewhere: where parts lie that a model lacks. storing: where results may go.
    window_seconds: jobs that are predicted to take longer are refused; None: none are.
    """

    source: ModelSource
    media_limits: MediaLimits
    guardrails: GuardrailWish
    work_dir: Path
    owner: str
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    fetching: Fetching = field(default_factory=Fetching)
    storing: Storing = field(default_factory=Storing)
    window_seconds: float | None = None
