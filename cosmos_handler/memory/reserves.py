"""What of a device's memory, and of a host's, plans may reckon with, be that machine here or elsewhere."""

# What the CUDA libraries take for themselves while they work, and what the allocator cannot hand out in one piece.
# Neither can be told beforehand; a budget that the deployer sets is taken as it is.
_LIBRARIES_BYTES = 400 * 2**20
_ALLOCATOR_SHARE = 0.02
# Of the host's memory, for everything that is no weight: the process itself, frames, encoders.
_HOST_RESERVE_BYTES = 2 * 2**30
_HOST_SHARE = 0.9
# Of a whole card, what the driver keeps and the process's context takes: gone before anybody asks what is free.
_DRIVER_AND_CONTEXT_BYTES = 800 * 10**6
# Of a whole host, what its kernel never shows, and what the system and the server's front take.
_KERNEL_SHARE = 0.03
_SYSTEM_BYTES = 10**9


def device_bytes_of_free(free_bytes: int) -> int:
    """Of a GPU's free memory."""
    return int(free_bytes * (1 - _ALLOCATOR_SHARE)) - _LIBRARIES_BYTES


def host_bytes_of_available(available_bytes: int) -> int:
    """Of a host's available memory, for weights."""
    return max(0, int((available_bytes - _HOST_RESERVE_BYTES) * _HOST_SHARE))


def device_bytes_of_card(total_bytes: int) -> int:
    """Of a card with so much memory, of which nothing is used yet."""
    return max(0, device_bytes_of_free(total_bytes - _DRIVER_AND_CONTEXT_BYTES))


def host_bytes_of_machine(total_bytes: int) -> int:
    """Of a host with so much memory, which does nothing else, for weights."""
    return host_bytes_of_available(int(total_bytes * (1 - _KERNEL_SHARE)) - _SYSTEM_BYTES)


def host_total_bytes(weights_bytes: int) -> int:
    """The memory of the smallest host that has room for so many bytes of weights."""
    return int((weights_bytes / _HOST_SHARE + _HOST_RESERVE_BYTES + _SYSTEM_BYTES) / (1 - _KERNEL_SHARE)) + 1
