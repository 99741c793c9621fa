"""What the environment says beside our own variables: who started this, what is secret, what the model process gets."""

from collections.abc import Collection, Mapping

# What the model process may inherit starts from everything, less these: it needs no credentials and no network.
_CREDENTIALS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_SECRET_WORDS = ("SECRET", "TOKEN", "PASSWORD", "API_KEY")
_PLATFORM = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",)
_OURS = ("SAGEMAKER_BIND_TO_PORT",)  # who runs it on a desk sets this one too
# boto3 reads its configuration from these, and reads the first two from one name only.
_AWS_REGIONS = ("AWS_DEFAULT_REGION", "AWS_REGION")
_AWS_FILES = ("HOME",)


def is_on_sagemaker(source: Mapping[str, str]) -> bool:
    """Whether the platform started this: it sets names of its own, and tells where the role's credentials are."""
    return any(name in _PLATFORM or (name.startswith("SAGEMAKER_") and name not in _OURS) for name in source)


def is_batch_transform(source: Mapping[str, str]) -> bool:
    """Whether a batch transform job runs this. The platform writes true as it likes."""
    return source.get("SAGEMAKER_BATCH", "").strip().lower() in ("1", "true", "yes", "on")


def secrets(source: Mapping[str, str], names: Collection[str]) -> tuple[str, ...]:
    """The values that no log may hold. names: of our own variables; others are known by the words in theirs."""
    return tuple(
        value for name, value in source.items() if name in names or any(word in name for word in _SECRET_WORDS)
    )


def for_the_model_process(source: Mapping[str, str]) -> dict[str, str]:
    """Its environment."""
    kept = {
        name: value
        for name, value in source.items()
        if name not in _CREDENTIALS and not name.startswith(("AWS_", "COSMOS_"))
    }
    return kept | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


def for_the_fetching_process(source: Mapping[str, str]) -> dict[str, str]:
    """Its environment: the role's credentials and nothing else."""
    kept = {name: value for name, value in source.items() if name.startswith("AWS_") or name in _AWS_FILES}
    region = next((source[name] for name in _AWS_REGIONS if source.get(name)), None)
    return kept | ({_AWS_REGIONS[0]: region} if region else {})
