import numpy as np

from training.render.photograph import photograph


def test_one_seed_is_one_photo_of_the_same_size() -> None:
    canvas = np.full((60, 80, 3), 0.5, np.float32)
    first, again, other = photograph(canvas, 1), photograph(canvas, 1), photograph(canvas, 2)
    assert (first.shape, first.dtype) == ((60, 80, 3), np.uint8)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert (canvas == 0.5).all()


def test_the_corners_are_darker_and_no_light_overflows() -> None:
    for seed in range(5):
        grey = photograph(np.full((60, 80, 3), 0.5, np.float32), seed).mean(axis=2)
        corners = [grey[:10, :10], grey[:10, -10:], grey[-10:, :10], grey[-10:, -10:]]
        assert np.mean(corners) < grey[25:35, 35:45].mean()
        assert photograph(np.full((60, 80, 3), 4, np.float32), seed).mean() > 200
