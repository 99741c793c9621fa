"""What each room is told, out of the settings."""

from functools import partial
from pathlib import Path

from cosmos_handler.api.intake import BodyLimits
from cosmos_handler.api.jobs import Jobs
from cosmos_handler.api.own_jobs import OwnJobs
from cosmos_handler.api.shared_jobs import SharedJobs, describe, lost
from cosmos_handler.artifacts.elsewhere import (
    GUARDRAIL_CHANNEL,
    MODEL_CHANNEL,
    MODEL_MOUNT,
    TEXT_ENCODER_CHANNEL,
    VAE_CHANNEL,
    Elsewhere,
)
from cosmos_handler.artifacts.guardrail import CHECKS, TEXT_CHECKS, VIDEO_CHECKS, CheckName, GuardrailWish
from cosmos_handler.artifacts.source import ModelSource
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.gathering import Gathering
from cosmos_handler.engine.jobstore import JobStore, KeepLimits
from cosmos_handler.engine.ledger import Ledger
from cosmos_handler.engine.options import EngineOptions
from cosmos_handler.engine.sharing import Sharing
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.fetching import Fetching
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.rules import FetchRules
from cosmos_handler.media.shelving import Shelf
from cosmos_handler.media.store_rules import StoreRules
from cosmos_handler.media.storing import Storing
from cosmos_handler.media_settings import MediaSettings
from cosmos_handler.memory_settings import MemorySettings
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.model_settings import ModelSettings
from cosmos_handler.settings import Settings

# How often the instance of a shared job says how it stands.
_BEAT_SECONDS = 5.0


def body_limits(settings: Settings, *, owner: str) -> BodyLimits:
    """What may come in."""
    return BodyLimits(
        max_bytes=settings.max_body_bytes,
        max_total_bytes=settings.max_bodies_bytes,
        seconds=settings.body_seconds,
        max_json_bytes=settings.max_json_bytes,
        max_spool_bytes=settings.max_spool_bytes,
        work_dir=settings.work_dir,
        owner=owner,
    )


def engine_options(settings: Settings, *, owner: str) -> EngineOptions:
    """What the engine is told, from the environment."""
    models = settings.models
    elsewhere = Elsewhere(
        text_encoders=_places(models.text_encoder_dir, TEXT_ENCODER_CHANNEL),
        vaes=_places(models.vae_path, VAE_CHANNEL),
        chosen=models.checkpoint,
    )
    places = _places(settings.guardrail_dir, GUARDRAIL_CHANNEL)
    return EngineOptions(
        source=_model_source(models, elsewhere),
        media_limits=_media_limits(settings.media),
        guardrails=GuardrailWish(checks=wanted_checks(settings), places=places),
        work_dir=settings.work_dir,
        owner=owner,
        elsewhere=elsewhere,
        fetching=Fetching(_fetch_rules(settings.media), settings.fetch_environment),
        storing=Storing(_store_rules(settings), settings.fetch_environment),
        window_seconds=settings.memory.request_window_seconds,
    )


def jobs_shelf(settings: Settings) -> Shelf | None:
    """Where jobs are kept that all instances know; None where they are this server's own."""
    uri = settings.outputs.jobs_uri
    if uri is None:
        return None
    return Shelf(S3Address.of(uri), _store_rules(settings), settings.fetch_environment)


def jobs_of(settings: Settings, engine: Engine, shelf: Shelf | None, *, owner: str) -> Jobs:
    """The jobs of `/v1/videos`."""
    store = JobStore(engine, keep_limits(settings))
    if shelf is None:
        return OwnJobs(engine, store)
    lost_seconds = settings.outputs.jobs_lost_seconds
    ledger = Ledger(shelf, lost_seconds=lost_seconds, kept_seconds=settings.result_seconds, lost=lost)
    beat_seconds = min(_BEAT_SECONDS, lost_seconds / 4)
    sharing = Sharing(store, ledger, partial(describe, engine), beat_seconds=beat_seconds)
    return SharedJobs(sharing, ledger, folder=settings.work_dir, owner=owner, stop_seconds=settings.stop_seconds)


def keep_limits(settings: Settings) -> KeepLimits:
    """How long and how much of what has ended each of two stores keeps: of jobs, and of answers to requests."""
    return KeepLimits(settings.result_seconds, settings.result_bytes // 2)


def _model_source(models: ModelSettings, elsewhere: Elsewhere) -> ModelSource:
    return ModelSource(
        folder=models.model_dir,
        hub_model_id=models.hub_model_id,
        hub_revision=models.hub_revision,
        token=models.hub_token,
        offline=models.hub_offline,
        mounts=(MODEL_MOUNT, MODEL_CHANNEL),
        checkpoint=models.checkpoint,
        hub_seconds=models.hub_seconds,
        text_encoders=elsewhere.text_encoders,
    )


def memory_wish(memory: MemorySettings) -> MemoryWish:
    """What the model processes are told of memory. Its words are held against theirs."""
    return MemoryWish.model_validate(
        {
            "offload": memory.offload,
            "placement": memory.placement,
            "device_bytes": memory.device_bytes,
            "host_bytes": memory.host_bytes,
            "text_cache_bytes": memory.text_cache_bytes,
        }
    )


def gathering(settings: Settings) -> Gathering:
    """How jobs are brought together."""
    return Gathering(settings.max_batch_size, settings.memory.request_window_seconds)


def _media_limits(media: MediaSettings) -> MediaLimits:
    return MediaLimits(
        max_source_bytes=media.max_bytes,
        max_pixels=media.max_pixels,
        max_source_frames=media.max_frames,
        max_duration_seconds=media.max_seconds,
        max_decoded_bytes=media.max_decoded_bytes,
        decode_timeout_seconds=media.decode_seconds,
        decode_memory_bytes=media.decode_memory_bytes,
        decode_threads=media.decode_threads,
    )


def _fetch_rules(media: MediaSettings) -> FetchRules:
    return FetchRules(
        hosts=media.hosts,
        ports=media.ports,
        networks=media.networks,
        buckets=media.buckets,
        folder=str(media.folder) if media.folder else None,
        max_redirects=media.max_redirects,
        connect_seconds=media.connect_seconds,
        fetch_seconds=media.fetch_seconds,
        proxy=media.proxy,
        ca_bundle=str(media.ca_bundle) if media.ca_bundle else None,
    )


def _store_rules(settings: Settings) -> StoreRules:
    outputs, media = settings.outputs, settings.media
    return StoreRules(
        default_uri=outputs.default_uri,
        buckets=outputs.output_buckets,
        kms_key_id=outputs.kms_key_id,
        store_seconds=outputs.store_seconds,
        connect_seconds=media.connect_seconds,
        proxy=media.proxy,
        ca_bundle=str(media.ca_bundle) if media.ca_bundle else None,
    )


def wanted_checks(settings: Settings) -> tuple[CheckName, ...]:
    """The guardrails that the deployer has not switched off, as a whole or by name."""
    kinds: dict[str, tuple[CheckName, ...]] = {"off": (), "text": TEXT_CHECKS, "video": VIDEO_CHECKS, "all": CHECKS}
    switches: dict[CheckName, bool] = {
        "blocklist": settings.guardrail_blocklist,
        "text_classifier": settings.guardrail_text_classifier,
        "content_filter": settings.guardrail_content_filter,
        "face_blur": settings.guardrail_face_blur,
    }
    return tuple(check for check in kinds[settings.guardrails] if switches[check])


def _places(named: Path | None, channel: Path) -> tuple[Path, ...]:
    return (channel,) if named is None else (named.absolute(), channel)
