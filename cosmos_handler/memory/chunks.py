"""How many chunks Transfer 2.5 makes of a long video, and what each repeats of the one before it."""


def overlap_frames(num_frames: int, *, chunk_frames: int, conditional_frames: int) -> int:
    """How many frames each chunk but the first begins with.

    Zero where one chunk holds everything: the pipeline makes no chunk of a video as short as the overlap.
    """
    return 0 if num_frames <= chunk_frames else conditional_frames


def count_chunks(num_frames: int, *, chunk_frames: int, overlap: int) -> int:
    """How many chunks the pipeline makes."""
    return len(range(0, num_frames - overlap, chunk_frames - overlap))
