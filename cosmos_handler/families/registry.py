"""Where each family lives; imported when a checkpoint of it is loaded, so that nobody pays for the others."""

from importlib import import_module

from cosmos_handler.families.base import Family

_FAMILIES = {
    "cosmos3": ("cosmos_handler.families.cosmos3.runner", "Cosmos3"),
    "predict2.5": ("cosmos_handler.families.predict.runner", "Predict25"),
    "transfer2.5": ("cosmos_handler.families.transfer.runner", "Transfer25"),
    "autoregressive": ("cosmos_handler.families.autoregressive.runner", "Autoregressive"),
    "reason1": ("cosmos_handler.families.reason.runner", "Reason1"),
    "reason2": ("cosmos_handler.families.reason.runner", "Reason2"),
}


def family_class(name: str) -> type[Family]:
    """The class that runs checkpoints of a family."""
    module, attribute = _FAMILIES[name]
    found: type[Family] = getattr(import_module(module), attribute)
    return found
