"""The log: one line an event, on standard error, where SageMaker collects it."""

import logging
import logging.config
import time


class _Utc(logging.Formatter):
    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        """Logs of several regions are read side by side."""
        return time.gmtime(seconds)


def configure_logging(level: str, *, process: str) -> None:
    """Send every logger of this process to standard error. process: the word that tells its lines apart."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": _Utc,
                    "format": f"%(asctime)s.%(msecs)03dZ {process} %(levelname)s %(name)s: %(message)s",
                    "datefmt": "%Y-%m-%dT%H:%M:%S",
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level, "handlers": ["stderr"]},
            # Libraries log every request and every missing file at their lower levels.
            "loggers": {
                name: {"level": "WARNING"} for name in ("httpx", "httpx2", "filelock", "urllib3", "uvicorn.access")
            },
        }
    )
    logging.captureWarnings(capture=True)
