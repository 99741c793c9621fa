"""What happens to a result between the model process and the end of its job: it is stored, where that is asked for."""

import asyncio
import logging
import time
from pathlib import Path

from cosmos_handler.engine.job import Job
from cosmos_handler.errors import CosmosError, InvalidField, JobFailed, Stopping
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.storing import Order, Stored, Storing
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.tasks import MEDIA_TYPES, Encoding
from cosmos_handler.messages.wire import Done, Progress
from cosmos_handler.schemas.invocation import Invocation, PictureRequest

log = logging.getLogger(__name__)

_STAGE = "store"


def order_for(
    invocation: Invocation, encoding: Encoding, job_id: str, storing: Storing, *, results_uri: str | None = None
) -> Order | None:
    """Where the result of a request goes; None where it stays with the job. Raises InvalidField.

    results_uri: the prefix where nobody names a place, as it stands: the deployer's, and not held against the rules.
    """
    request = invocation.request
    if not isinstance(request, PictureRequest):
        return None
    field = invocation.written("output_s3_uri")
    uri, presign_seconds = request.output_s3_uri, request.presign_seconds
    address = storing.place(uri, field=field, job_id=job_id, suffix=f".{encoding}")
    if address is None and results_uri is not None:
        address = S3Address.of(f"{results_uri}{job_id}.{encoding}")
    if address is None:
        if presign_seconds is not None:
            problem = "asks for a link, and the result is not stored anywhere"
            raise InvalidField(invocation.written("presign_seconds"), problem, allowed="together with output_s3_uri")
        return None
    named = field if uri is not None else None
    return Order(address, MEDIA_TYPES[encoding], job_id, field=named, presign_seconds=presign_seconds)


def named_object(invocation: Invocation) -> str | None:
    """The object that a request names for its result; None where it names none, or a prefix."""
    uri: str | None = getattr(invocation.request, "output_s3_uri", None)
    return None if uri is None or uri.endswith("/") else uri


class Deliveries:
    """The results that are being stored. Meanwhile their jobs run on, though no model process has them any more."""

    def __init__(self, storing: Storing) -> None:
        self._storing = storing
        self._jobs: set[Job] = set()

    async def deliver(self, job: Job, order: Order) -> None:
        """Wait for the job's result, store it, and complete the job; or fail it. Leaves a job alone that ends first."""
        self._jobs.add(job)
        try:
            await job.released()
            if job.made is not None and not job.state.is_terminal:
                await self._store(job, job.made, order)
        finally:
            self._jobs.discard(job)

    async def _store(self, job: Job, made: Done, order: Order) -> None:
        if isinstance(made.output, TextOutput):
            raise TypeError("an answer in words was to be stored: this is a bug")
        job.report(Progress(job_id=job.id, stage=_STAGE, step=0, num_steps=1))
        began = time.monotonic()
        storing = asyncio.create_task(self._storing.store(order, Path(made.output.path)))
        ending = asyncio.create_task(job.ended())
        try:
            await asyncio.wait({storing, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (storing, ending):
                task.cancel()
            await asyncio.wait({storing, ending})
        if not storing.cancelled():
            _end(job, made, storing, time.monotonic() - began)

    def give_up(self) -> None:
        """The server ends."""
        for job in self._jobs:
            if job.made is not None:
                job.fail(Stopping("the server is shutting down", retry_after_seconds=30))


def _end(job: Job, made: Done, storing: asyncio.Task[Stored], seconds: float) -> None:
    error = storing.exception()
    if error is None:
        stage_seconds = {**made.report.stage_seconds, _STAGE: seconds}
        report = made.report.model_copy(update={"stage_seconds": stage_seconds})
        if job.complete(made.model_copy(update={"report": report}), stored=storing.result()):
            log.info("job %s completed: its result is stored, after %.2f s", job.id, seconds)
    elif isinstance(error, CosmosError):
        if job.fail(error):
            log.error("job %s failed: %s", job.id, error)
    else:
        log.error("job %s failed while its result was stored", job.id, exc_info=error)
        job.fail(JobFailed("the result could not be stored; the log has the rest under the job id"))
