"""What `/v1/videos` needs of jobs, whether this server alone knows them or all instances do."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Protocol

from fastapi.responses import Response

from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.schemas.invocation import Invocation


class Jobs(Protocol):
    """Jobs that outlive the request which made them; each is told as OpenAI's video object."""

    @property
    def is_shared(self) -> bool:
        """Whether another instance can answer for them."""
        ...

    def start(self) -> None:
        """Begin what has to be done beside the requests."""
        ...

    async def create(self, invocation: Invocation, encoding: Encoding) -> dict[str, Any]:
        """A job that runs whether anybody listens or not. Raises as Engine.submit does."""
        ...

    async def get(self, job_id: str) -> dict[str, Any]:
        """The job as it stands. Raises UnknownJob."""
        ...

    async def ids(self) -> Sequence[str]:
        """Every job, oldest first."""
        ...

    async def get_all(self, job_ids: Collection[str]) -> Sequence[dict[str, Any]]:
        """Those of them that are still there."""
        ...

    async def delete(self, job_id: str) -> dict[str, Any]:
        """Cancel a job that has not ended, which stays as a cancelled one; forget one that has. Raises UnknownJob."""
        ...

    async def content(self, job_id: str) -> Response:
        """Its result. Raises UnknownJob and NotDone."""
        ...

    async def events(self, job_id: str) -> AsyncIterator[bytes]:
        """The object as it stands, then what happens, then the object as it ended. Raises UnknownJob."""
        ...

    async def close(self) -> None:
        """The server ends."""
        ...
