"""The sections of SageMaker's contract, and which of them a test is about."""

import pytest

# Those that concern a container, as the collected contract numbers them.
SECTIONS = {
    "1.1": "Start, stop, user",
    "1.2": "Ports and /ping",
    "1.3": "Image labels",
    "1.4": "/invocations: time, size",
    "1.5": "Headers",
    "1.6": "Errors as the caller sees them",
    "1.7": "Response streaming",
    "1.8": "File system and model data",
    "1.9": "Environment variables",
    "1.10": "Multi-model endpoints",
    "1.11": "Stateful sessions",
    "1.12": "Bidirectional streaming",
    "1.13": "OpenAI-compatible front door",
    "1.14": "Metrics scraped from the container",
    "2.2": "Asynchronous: what reaches the container",
    "2.3": "Asynchronous: rules found only in issues",
    "2.4": "Asynchronous: output",
    "2.6": "Asynchronous: what the container has to do",
    "3": "Batch transform",
}
# The platform's and the caller's own affairs, which no container sees.
NOT_THE_CONTAINERS = {
    "1.15": "routing strategies",
    "1.16": "inference components",
    "1.17": "the control plane",
    "2.1": "the caller's own call, which the platform answers",
    "2.5": "scaling",
}


def section(number: str) -> pytest.MarkDecorator:
    """The section that a test is about; it stands in the test's name and in the summary."""
    if number not in SECTIONS:
        raise ValueError(f"no section {number}")
    return pytest.mark.section(number)


def section_of(marks: list[pytest.Mark]) -> str:
    """Raises ValueError for a test that is about none, or about several."""
    numbers = [mark.args[0] for mark in marks if mark.name == "section"]
    if len(numbers) != 1:
        raise ValueError(f"is about {len(numbers)} sections; each test is about one: @section('1.5')")
    return str(numbers[0])
