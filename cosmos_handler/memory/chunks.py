"""How many chunks Transfer 2.5 makes of a long video, and what each repeats of the one before it; and how many codes
are made of those of an autoregressive model.
"""

from cosmos_handler.messages.tasks import Continue

# Of a code: frames, but for the first, and rows and columns.
_FRAMES_OF_CODES, _CODE_PIXELS = 8, 16


def overlap_frames(num_frames: int, *, chunk_frames: int, conditional_frames: int) -> int:
    """How many frames each chunk but the first begins with.

    Zero where one chunk holds everything: the pipeline makes no chunk of a video as short as the overlap.
    """
    return 0 if num_frames <= chunk_frames else conditional_frames


def count_chunks(num_frames: int, *, chunk_frames: int, overlap: int) -> int:
    """How many chunks the pipeline makes."""
    return len(range(0, num_frames - overlap, chunk_frames - overlap))


def code_frames(num_frames: int) -> int:
    """How many frames of codes a video is, whose first is one frame and every other eight."""
    return (num_frames - 1) // _FRAMES_OF_CODES + 1


def codes_of_chunks(task: Continue) -> tuple[int, ...]:
    """How many codes an autoregressive model makes in each chunk of a video."""
    per_frame = (task.height // _CODE_PIXELS) * (task.width // _CODE_PIXELS)
    given = (task.num_input_frames, *[task.chunk_overlap] * (task.num_chunks - 1))
    return tuple((code_frames(task.num_frames) - code_frames(frames)) * per_frame for frames in given)
