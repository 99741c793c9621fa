# The image behind the endpoint:
#     docker build --provenance=false --output type=docker --tag cosmos-handler .
# SageMaker takes Docker manifests only; with these two options BuildKit writes one. Without Docker: scripts/build_image.
#
# Behind a proxy, the build takes two secrets, neither of which stays in the image:
#     --secret id=ca-certificates,src=/etc/ssl/certs/ca-certificates.crt   the bundle pip shall trust
#     --secret id=pip.conf,src=/etc/pip.conf                               where pip shall look
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}

# /opt/ml/model is where SageMaker mounts the checkpoint, read-only.
RUN apt-get update \
    && export DEBIAN_FRONTEND=noninteractive \
    && apt-get upgrade --yes \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /opt/ml/model

# The libraries make nearly all of the image and change seldom: a layer of their own, below the code.
# CUDA 12.8 comes with torch's wheels; the driver comes from the host. pip is of no use at run time.
COPY requirements.lock /opt/cosmos/
RUN --mount=type=secret,id=ca-certificates --mount=type=secret,id=pip.conf \
    export PIP_CONFIG_FILE=/run/secrets/pip.conf; \
    if [ -f /run/secrets/ca-certificates ]; then export PIP_CERT=/run/secrets/ca-certificates; fi; \
    python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: --progress-bar off \
        --require-hashes --requirement /opt/cosmos/requirements.lock \
    && /opt/venv/bin/python -m pip check \
    && /opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools

# Without NVIDIA_VISIBLE_DEVICES the NVIDIA runtime gives a container no GPU at all. Bytecode is compiled here, once, because
# the image may be run read-only. The path is spelled out since a base image need not set one.
ENV PATH=/opt/cosmos:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /opt/cosmos
COPY LICENSE README.md pyproject.toml serve /opt/cosmos/
COPY cosmos_handler /opt/cosmos/cosmos_handler
RUN python3 -m compileall -q cosmos_handler

LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      com.amazonaws.sagemaker.inference.cuda.verified_versions="12.8" \
      org.opencontainers.image.title="cosmos-handler" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 8080

# SageMaker runs `docker run IMAGE serve`: the word takes the place of CMD and is found on PATH, so both ways start the same
# process, as PID 1. An entry point would get the word as its argument instead; the one a base image may have is cleared.
ENTRYPOINT []
CMD ["serve"]
