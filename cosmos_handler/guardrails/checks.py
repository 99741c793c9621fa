"""The checks that a job passes. This version has none, and every answer says so."""

from cosmos_handler.messages.results import Verdict


def verdicts_without_checks() -> tuple[Verdict, ...]:
    """What an answer reports where guardrails are off."""
    return (Verdict(check="text", state="off"), Verdict(check="video", state="off"))
