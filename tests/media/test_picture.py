"""PNG files: every pixel, and what they say of themselves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos_handler.media.picture import write_png


def test_every_pixel_and_every_word_comes_back(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", frame, metadata={"comment": '{"é": 1}'})
    with Image.open(tmp_path / "a.png") as shown:
        np.testing.assert_array_equal(np.asarray(shown), frame)
        assert shown.text == {"comment": '{"é": 1}'}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("shape", "dtype"), [((4, 4), np.uint8), ((4, 4, 4), np.uint8), ((4, 4, 3), np.float32)])
def test_a_frame_of_another_kind_is_refused(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ValueError, match="the frame is"):
        write_png(tmp_path / "a.png", np.zeros(shape, dtype=dtype), metadata={})  # type: ignore[arg-type]
