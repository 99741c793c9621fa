"""What the process that stores results is asked, and what it says where it cannot."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cosmos_handler.media.store_rules import StoreRules


class NotStored(Exception):
    """fault: "place" where another place might do, "server" where none would."""

    def __init__(self, fault: Literal["place", "server"], problem: str) -> None:
        super().__init__(problem)
        self.fault = fault
        self.problem = problem


@dataclass(frozen=True)
class StoreRequest:
    """Write the file at `path` to the object. path: None to find out whether the role may, and write nothing.

    presign_seconds: how long a link to it shall work; None: no link is asked for.
    """

    bucket: str
    key: str
    path: str | None
    media_type: str
    job_id: str
    presign_seconds: int | None
    seconds: float
    rules: StoreRules

    def to_json(self) -> str:
        """One line for the process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "StoreRequest":
        """What to_json made."""
        fields: dict[str, Any] = json.loads(text)
        rules = fields.pop("rules")
        return cls(**fields, rules=StoreRules(**{**rules, "buckets": tuple(rules["buckets"])}))
