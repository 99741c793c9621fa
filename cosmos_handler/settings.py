"""Every environment variable, read once into one frozen value; nothing else in the package looks at the environment."""

import difflib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmos_handler import environment
from cosmos_handler.errors import SettingsError
from cosmos_handler.media_settings import MEDIA_VARIABLES, MediaSettings
from cosmos_handler.memory_settings import MEMORY_VARIABLES, MemorySettings, with_window
from cosmos_handler.model_settings import MODEL_VARIABLES, ModelSettings, contradictions
from cosmos_handler.output_settings import OUTPUT_VARIABLES, OutputSettings
from cosmos_handler.variable import Variable, api_key, devices, one_of, path, port_range, switch, text, whole

_GIB = 2**30


@dataclass(frozen=True)
class Settings:
    """The whole configuration. Where a field has no comment, its row in VARIABLES says what it is."""

    models: ModelSettings
    host: str
    port: int
    safe_ports: tuple[int, int] | None
    devices: tuple[str, ...]  # one model process for each: "cpu", or the index of a GPU
    cpu_threads: int | None
    max_jobs: int
    max_batch_size: int
    api_key: str | None
    max_body_bytes: int
    max_json_bytes: int
    max_bodies_bytes: int
    max_spool_bytes: int
    body_seconds: int
    media: MediaSettings
    memory: MemorySettings
    outputs: OutputSettings
    guardrails: str
    guardrail_blocklist: bool
    guardrail_text_classifier: bool
    guardrail_content_filter: bool
    guardrail_face_blur: bool
    guardrail_dir: Path | None
    work_dir: Path
    result_seconds: int
    result_bytes: int
    stop_seconds: int
    warm_up: bool
    stuck_seconds: int
    log_level: str
    is_on_sagemaker: bool
    is_batch_transform: bool
    fetch_environment: Mapping[str, str]  # for the process that fetches: the role's credentials and nothing else
    secrets: tuple[str, ...]  # whatever of the environment no log may hold
    child_environment: Mapping[str, str]  # for the model process: no credentials, no way to the network

    def __repr__(self) -> str:
        return f"Settings(models={self.models!r}, port={self.port})"


VARIABLES = (
    *MODEL_VARIABLES,
    Variable("COSMOS_HOST", "host", text, "0.0.0.0", "address to listen on"),  # noqa: S104 - a container is reached from outside
    Variable("SAGEMAKER_BIND_TO_PORT", "port", whole(1, 65535), "8080", "port to listen on"),
    Variable(
        "SAGEMAKER_SAFE_PORT_RANGE", "safe_ports", port_range, None, "LOW-HIGH for further ports; none is ever opened"
    ),
    Variable(
        "COSMOS_DEVICES", "devices", devices, "auto", "auto, cpu, or GPU indices such as 0,1: one model process each"
    ),
    Variable("SM_NUM_GPUS", "num_gpus", whole(0, 64), None, "how many GPUs auto takes; by default all that are there"),
    Variable(
        "COSMOS_CPU_THREADS", "cpu_threads", whole(1, 1024), None, "torch's CPU threads; by default torch's choice"
    ),
    Variable("COSMOS_MAX_JOBS", "max_jobs", whole(1, 10_000), "16", "jobs running and waiting before 429"),
    Variable(
        "COSMOS_MAX_BATCH_SIZE",
        "max_batch_size",
        whole(1, 64),
        "1",
        "most waiting jobs of an autoregressive model, alike but for prompt, medium, seed and sampling, that are made "
        "together; more than 1 may change which tokens a seed draws",
    ),
    Variable(
        "COSMOS_API_KEY",
        "api_key",
        api_key,
        None,
        "the key that requests must show (Authorization: Bearer KEY) on all routes but health; never printed",
        is_secret=True,
    ),
    Variable("COSMOS_MAX_BODY_BYTES", "max_body_bytes", whole(1024, 2**40), str(_GIB), "largest request body"),
    Variable(
        "COSMOS_MAX_JSON_BYTES",
        "max_json_bytes",
        whole(1024, 2**40),
        str(_GIB // 4),
        "largest body, or part of a form, that is JSON or JSON lines, which is read in memory",
    ),
    Variable(
        "COSMOS_MAX_BODIES_BYTES",
        "max_bodies_bytes",
        whole(1024, 2**40),
        str(_GIB),
        "most bytes of the bodies of all requests in the house that are held in memory, before 503",
    ),
    Variable(
        "COSMOS_MAX_SPOOL_BYTES",
        "max_spool_bytes",
        whole(1024, 2**50),
        str(8 * _GIB),
        "most bytes of them that are on the disk: images and videos as they were sent",
    ),
    Variable("COSMOS_BODY_SECONDS", "body_seconds", whole(1, 3600), "300", "time for a request body to come, or 408"),
    *MEDIA_VARIABLES,
    *MEMORY_VARIABLES,
    *OUTPUT_VARIABLES,
    Variable(
        "COSMOS_GUARDRAILS",
        "guardrails",
        one_of("off", "text", "video", "all"),
        "all",
        "what is checked of images and videos that are asked for: text, the prompt; video, the frames; all; or off; "
        "files that are missing end the start",
    ),
    Variable("COSMOS_GUARDRAIL_BLOCKLIST", "guardrail_blocklist", switch, "on", "off: this check alone is left out"),
    Variable(
        "COSMOS_GUARDRAIL_TEXT_CLASSIFIER",
        "guardrail_text_classifier",
        switch,
        "on",
        "off: this check alone is left out",
    ),
    Variable(
        "COSMOS_GUARDRAIL_CONTENT_FILTER", "guardrail_content_filter", switch, "on", "off: this check alone is left out"
    ),
    Variable("COSMOS_GUARDRAIL_FACE_BLUR", "guardrail_face_blur", switch, "on", "off: this check alone is left out"),
    Variable(
        "COSMOS_GUARDRAIL_DIR",
        "guardrail_dir",
        path,
        None,
        "folder of the guardrails, for models that have no folder guardrails of their own",
    ),
    Variable(
        "COSMOS_WORK_DIR",
        "work_dir",
        path,
        None,
        "where jobs keep their files while they run; by default the system's",
    ),
    Variable(
        "COSMOS_RESULT_SECONDS",
        "result_seconds",
        whole(1, 10**7),
        "86400",
        "how long an ended job of /v1/videos and its file are kept, and the answer to a request that may come again",
    ),
    Variable(
        "COSMOS_RESULT_BYTES",
        "result_bytes",
        whole(0, 2**50),
        str(8 * _GIB),
        "most bytes of such files, half of it for either kind; the oldest go first, the newest stays",
    ),
    Variable(
        "COSMOS_STOP_SECONDS", "stop_seconds", whole(0, 25), "20", "after SIGTERM, time for the running job to end"
    ),
    Variable("COSMOS_WARM_UP", "warm_up", switch, "on", "run every model once before /ping says 200"),
    Variable(
        "COSMOS_STUCK_SECONDS",
        "stuck_seconds",
        whole(0, 10**6),
        "1800",
        "a job of which nothing is heard for so long is failed, and its process started anew; 0: never",
    ),
    Variable(
        "COSMOS_LOG_LEVEL",
        "log_level",
        one_of("debug", "info", "warning", "error"),
        "info",
        "debug, info, warning, error",
    ),
)


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The configuration in the environment.

    Raises SettingsError with every fault at once.
    """
    source = dict(os.environ if environ is None else environ)
    faults = _unknown_names(source)
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        text = source.get(variable.name) or variable.default
        try:
            values[variable.field] = None if text is None else variable.parse(text)
        except ValueError as error:
            faults.append(f"{variable.name}={'…' if variable.is_secret else repr(text)} is not {error}")
    if not faults and values["max_bodies_bytes"] < min(values["max_json_bytes"], values["max_body_bytes"]):
        faults.append("COSMOS_MAX_BODIES_BYTES is less than COSMOS_MAX_JSON_BYTES: a large body could never come in")
    if not faults and values["max_spool_bytes"] < values["max_body_bytes"]:
        faults.append("COSMOS_MAX_SPOOL_BYTES is less than COSMOS_MAX_BODY_BYTES: a large body could never come in")
    faults += contradictions(source)
    if faults:
        raise SettingsError(faults)
    values["work_dir"] = values["work_dir"] or Path(tempfile.gettempdir())
    values["devices"] = _resolve_devices(values["devices"], values.pop("num_gpus"))
    values["log_level"] = values["log_level"].upper()
    values["request_window_seconds"] = with_window(
        values["request_window_seconds"], is_batch=environment.is_batch_transform(source)
    )
    models = ModelSettings(**{variable.field: values.pop(variable.field) for variable in MODEL_VARIABLES})
    media = MediaSettings(**{variable.field: values.pop(variable.field) for variable in MEDIA_VARIABLES})
    memory = MemorySettings(**{variable.field: values.pop(variable.field) for variable in MEMORY_VARIABLES})
    outputs = OutputSettings(**{variable.field: values.pop(variable.field) for variable in OUTPUT_VARIABLES})
    secret_names = [variable.name for variable in VARIABLES if variable.is_secret]
    return Settings(
        **values,
        models=models,
        media=media,
        memory=memory,
        outputs=outputs,
        is_on_sagemaker=environment.is_on_sagemaker(source),
        is_batch_transform=environment.is_batch_transform(source),
        secrets=environment.secrets(source, secret_names),
        fetch_environment=environment.for_the_fetching_process(source),
        child_environment=environment.for_the_model_process(source),
    )


def _unknown_names(source: Mapping[str, str]) -> list[str]:
    known = [variable.name for variable in VARIABLES]
    faults = []
    for name in sorted(source):
        if name.startswith("COSMOS_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            faults.append(f"{name} is not a known variable" + (f"; did you mean {near[0]}?" if near else ""))
    return faults


def _resolve_devices(devices: tuple[str, ...], num_gpus: int | None) -> tuple[str, ...]:
    if devices != ("auto",):
        return devices
    # /dev is asked because asking torch would load it into this process.
    present = sorted(int(node.name[6:]) for node in Path("/dev").glob("nvidia[0-9]*") if node.name[6:].isdecimal())
    count = len(present) if num_gpus is None else num_gpus
    return tuple(str(index) for index in range(count)) or ("cpu",)


def manual() -> str:
    """What `serve --help` prints about the environment."""
    width = max(len(variable.name) for variable in VARIABLES)
    lines = []
    for variable in VARIABLES:
        default = "not set" if variable.default is None else variable.default
        lines.append(f"  {variable.name:<{width}}  {variable.meaning} [{default}]")
    return "\n".join(lines)
