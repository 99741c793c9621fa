"""The composition root: settings → engine → app → uvicorn; signals; exit codes."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from secrets import token_hex
from types import FrameType

import uvicorn

from cosmos_handler import __version__
from cosmos_handler.api.app import create_app
from cosmos_handler.api.protocol import Protocol
from cosmos_handler.api.surroundings import Surroundings
from cosmos_handler.artifacts.guardrail import CHECKS
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.host import faults
from cosmos_handler.engine.jobstore import JobStore
from cosmos_handler.engine.metrics import Metrics
from cosmos_handler.engine.pool import Pool
from cosmos_handler.engine.reaping import reap_orphans
from cosmos_handler.engine.repeats import Repeats
from cosmos_handler.engine.work_dir import Claim, sweep
from cosmos_handler.errors import JobsUnreachable, SettingsError, SetupError, WorkerFailed
from cosmos_handler.media.shelving import Shelf, Unusable
from cosmos_handler.settings import Settings, manual, read_settings
from cosmos_handler.telemetry import configure_logging
from cosmos_handler.wiring import (
    body_limits,
    engine_options,
    gathering,
    jobs_of,
    jobs_shelf,
    keep_limits,
    memory_wish,
    wanted_checks,
)

log = logging.getLogger(__name__)

EXIT_SETTINGS = 2
EXIT_MODEL = 3
EXIT_WORKER = 4

# To tell the callers of jobs that were given up so, before uvicorn cuts them off.
_ANSWER_SECONDS = 2


class _Server(uvicorn.Server):
    """uvicorn, with waiting jobs turned away at the first signal, and running ones before their connections close."""

    def __init__(self, config: uvicorn.Config, engine: Engine, *, stop_seconds: int) -> None:
        super().__init__(config)
        self._engine = engine
        self._stop_seconds = stop_seconds
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self._loop.call_soon_threadsafe(self._wind_down)
        super().handle_exit(sig, frame)

    def _wind_down(self) -> None:
        self._engine.stop_accepting()
        self._loop.call_later(self._stop_seconds, self._engine.stop_running)

    def give_up(self) -> None:
        """The engine cannot serve."""
        self.should_exit = True


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop. Returns 0 after a signal, 2, 3, 4 for settings, model files, the model process."""
    _parse(sys.argv[1:] if argv is None else argv)
    try:
        settings = read_settings()
        _try_work_dir(settings)
        listener = _listen(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_SETTINGS
    configure_logging(settings.log_level, process="serve", secrets=settings.secrets)
    if settings.api_key is None and not settings.is_on_sagemaker:
        log.warning("no COSMOS_API_KEY is set: whoever reaches port %d may use this server", settings.port)
    if left_out := [check for check in CHECKS if check not in wanted_checks(settings)]:
        log.warning("guardrails switched off: %s", ", ".join(left_out))
    if problems := faults(settings.devices, settings.work_dir):
        log.critical("cannot serve: %s", "; ".join(problems))
        return EXIT_SETTINGS
    sweep(settings.work_dir)
    claim = Claim(settings.work_dir)
    with listener:
        failure = asyncio.run(_serve(settings, listener, claim))
    claim.release()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)  # the interpreter drops our handlers on its way out, but not this
    if failure is None:
        return 0
    if isinstance(failure, SettingsError):
        return EXIT_SETTINGS
    return EXIT_WORKER if isinstance(failure, WorkerFailed) else EXIT_MODEL


def _parse(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="serve",
        description="Serve NVIDIA Cosmos models over HTTP as Amazon SageMaker expects it.",
        epilog=f"environment variables, with their defaults:\n{manual()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("word", nargs="?", choices=["serve"], help="ignored; SageMaker says it")
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(argv)


def _try_work_dir(settings: Settings) -> None:
    """Make a folder where jobs will make theirs: better no server than one that fails every request."""
    try:
        with tempfile.TemporaryDirectory(prefix="try-", dir=settings.work_dir) as folder:
            one = Path(folder) / "one"
            one.touch()
            os.link(one, Path(folder) / "other")  # as a job takes over the files of its request
    except OSError as error:
        problem = f"COSMOS_WORK_DIR={str(settings.work_dir)!r}: jobs cannot keep files there ({error.strerror})"
        raise SettingsError([problem]) from None


def _listen(settings: Settings) -> socket.socket:
    """The port, taken before anything is loaded; connections wait until uvicorn takes them."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address, family=family, backlog=2048)
    except (OSError, UnicodeError) as error:  # the second for a host name that no resolver could be asked for
        names = f"COSMOS_HOST={settings.host!r}, SAGEMAKER_BIND_TO_PORT={settings.port}"
        raise SettingsError([f"{names}: cannot listen there: {error}"]) from None


async def _serve(settings: Settings, listener: socket.socket, claim: Claim) -> SetupError | None:
    shelf = jobs_shelf(settings)
    try:
        if shelf is not None:
            await _try_shelf(shelf, claim.owner)
        return await _serve_with(settings, listener, claim, shelf)
    except SettingsError as error:
        log.critical("cannot serve: %s", "; ".join(error.faults))
        return error
    finally:
        if shelf is not None:
            await shelf.close()


async def _try_shelf(shelf: Shelf, owner: str) -> None:
    """Find out before any weight is read whether jobs can be kept there; what may pass is only told."""
    try:
        await shelf.try_out(f"try-{owner}-{token_hex(8)}")
    except Unusable as error:
        raise SettingsError([f"COSMOS_JOBS_S3_URI={shelf.uri!r}: jobs cannot be kept there: {error}"]) from None
    except JobsUnreachable as error:
        log.warning("%s", error)


async def _serve_with(
    settings: Settings, listener: socket.socket, claim: Claim, shelf: Shelf | None
) -> SetupError | None:
    backlog = Backlog(settings.max_jobs)
    pool = Pool(
        [Group(devices=(device,)) for device in settings.devices],
        backlog,
        environment=settings.child_environment,
        cpu_threads=settings.cpu_threads,
        warm_up_dir=settings.work_dir if settings.warm_up else None,
        stuck_seconds=settings.stuck_seconds or None,
        memory=memory_wish(settings.memory),
        gathering=gathering(settings),
    )
    engine = Engine(
        engine_options(settings, owner=claim.owner),
        backlog=backlog,
        pool=pool,
        on_failure=lambda: server.give_up(),
        metrics=Metrics(),
    )
    around = Surroundings(
        settings.work_dir,
        settings.api_key,
        is_batch=settings.is_batch_transform,
        is_behind_platform=settings.is_on_sagemaker,
    )
    server = _Server(
        uvicorn.Config(
            create_app(
                engine,
                jobs_of(settings, engine, shelf, owner=claim.owner),
                Repeats(JobStore(engine, keep_limits(settings))),
                body_limits(settings, owner=claim.owner),
                around,
            ),
            http=Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=settings.stop_seconds + _ANSWER_SECONDS,
        ),
        engine,
        stop_seconds=settings.stop_seconds,
    )
    # uvicorn raises the signal that ended it once more, for the handler before it: a mute one keeps the exit code.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, frame: None)
    log.info("listening on %s, port %d", settings.host, settings.port)
    if settings.safe_ports is not None:
        log.info("SAGEMAKER_SAFE_PORT_RANGE is %d-%d: none of them is opened", *settings.safe_ports)
    reaping = asyncio.create_task(reap_orphans())
    await server.serve(sockets=[listener])
    reaping.cancel()
    if engine.is_fetching:
        # A download cannot be interrupted, and its threads would keep the process for as long as it takes.
        claim.release()
        logging.shutdown()
        os._exit(0)
    return engine.failure


if __name__ == "__main__":
    sys.exit(main())
