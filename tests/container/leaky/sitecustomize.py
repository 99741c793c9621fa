"""Put on the path of a server by a test: its model process says aloud what it is asked, as libraries may."""

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_LEAKY = "cosmos_handler.worker.session"


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _LEAKY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            _patch(module.Session)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


def _patch(session: Any) -> None:
    run = session.run

    def leaky(self: Any, message: Any, **rest: Any) -> None:
        said = str(message.task)
        logging.getLogger("diffusers.leaky").warning("the prompt was truncated: %s", said)
        logging.getLogger("anything").error("%s", [message])
        warnings.warn(said, stacklevel=1)
        print(said)  # noqa: T201 - as libraries do
        if "fails here" in said:
            raise ValueError(said)
        if "crashes here" in said:
            sys.stderr.write(said)
            os.abort()
        run(self, message, **rest)

    session.run = leaky


sys.meta_path.insert(0, _Finder())
