"""A file of several jobs as NVIDIA writes it: a list, JSON lines, or the first release's `samples` by name."""

from collections.abc import Mapping
from typing import Any

from cosmos_handler.errors import InvalidBody, InvalidField, RequestError, TooLarge

_MAX_JOBS = 1000


def is_several(content: dict[str, Any] | list[Any]) -> bool:
    """Whether a body means several jobs, and is answered with a list even if it means one."""
    return isinstance(content, list) or "samples" in content


def expand(content: dict[str, Any] | list[Any]) -> list[dict[str, Any] | RequestError]:
    """One body a job, in order; an error in the place of what is none.

    Raises RequestError where the whole means nothing.
    """
    jobs = expand_any(content)
    if all(isinstance(each, InvalidBody) for each in jobs):
        raise next(each for each in jobs if isinstance(each, InvalidBody))
    return jobs


def expand_any(content: dict[str, Any] | list[Any]) -> list[dict[str, Any] | RequestError]:
    """The same where even bodies that all mean nothing have a place each. Raises RequestError for none, or too many."""
    jobs: list[dict[str, Any] | RequestError] = []
    for number, each in enumerate(content if isinstance(content, list) else [content]):
        if isinstance(each, RequestError):
            jobs.append(each)
        elif not isinstance(each, dict):
            jobs.append(InvalidBody(f"job {number} of the body is not a JSON object"))
        elif "samples" in each:
            jobs.extend(_samples(each))
        else:
            jobs.append(each)
    if not jobs:
        raise InvalidBody("the body has no jobs in it")
    if len(jobs) > _MAX_JOBS:
        raise TooLarge(f"the body has {len(jobs)} jobs; the limit is {_MAX_JOBS}")
    return jobs


def _samples(body: Mapping[str, Any]) -> list[dict[str, Any] | RequestError]:
    """NVIDIA's first release: what stands beside `samples` goes for all of them, and each is called by its key."""
    samples = body["samples"]
    if not isinstance(samples, dict) or not samples:
        return [InvalidField("samples", "is not an object of samples by name")]
    shared = {key: value for key, value in body.items() if key != "samples"}
    if "name" in shared:
        return [InvalidField("name", "does not go with samples, which are named by their keys")]
    jobs: list[dict[str, Any] | RequestError] = []
    for name, sample in samples.items():
        if not isinstance(sample, dict):
            jobs.append(InvalidField(f"samples.{name}", "is not an object"))
        elif "name" in sample:
            jobs.append(InvalidField(f"samples.{name}.name", "is given twice"))
        else:
            jobs.append({**shared, **sample, "name": name})
    return jobs
