"""Photos that are turned, framed and lit otherwise, and the boxes that go with their teeth."""

import math

import numpy as np
import pytest

from training.model.augmentation import GREY, MAX_FRAME, UNCHANGED, Augmentation

HEIGHT, WIDTH = 90, 120
BOX = (0.2, 0.5, 0.5, 0.8)  # ymin, xmin, ymax, xmax of the tooth


def photo_of_a_tooth() -> np.ndarray:
    """A dark photo with a white ellipse that touches the sides of `BOX`."""
    down, right = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    ymin, xmin, ymax, xmax = (np.array(BOX) * [HEIGHT, WIDTH, HEIGHT, WIDTH]).tolist()
    inside = ((down - (ymin + ymax) / 2) / (ymax - ymin)) ** 2 + ((right - (xmin + xmax) / 2) / (xmax - xmin)) ** 2
    return np.where(inside[..., np.newaxis] <= 0.25, 250, 20).repeat(3, axis=2).astype(np.uint8)


def example(pixels: np.ndarray) -> dict:
    import tensorflow as tf

    return {
        "image": tf.constant(pixels),
        "groundtruth_boxes": tf.constant([BOX], tf.float32),
        "groundtruth_classes": tf.constant([2], tf.int64),
    }


def applied(augmentation: Augmentation, seed: int) -> dict:
    from training.compat import tf
    from training.model.randomness import stateless

    with stateless(tf.constant([seed, 0], tf.int64)):
        return augmentation.apply(example(photo_of_a_tooth()))


def turned(degrees: float, *, zoom: float = 1.0, place: tuple[float, float] = (0.5, 0.5)) -> tuple[np.ndarray, list]:
    from training.compat import tf
    from training.model.augmentation import turn

    pixels = tf.constant(photo_of_a_tooth(), tf.float32)
    frame, boxes = turn(pixels, tf.constant([BOX]), tf.constant(math.radians(degrees)), zoom, tf.constant(place))
    return frame.numpy(), boxes[0].numpy().tolist()


def test_a_photo_that_is_not_rotated_is_unchanged() -> None:
    frame, box = turned(0)
    np.testing.assert_array_equal(frame, photo_of_a_tooth())
    assert box == pytest.approx(BOX)


def test_a_quarter_turn_is_clockwise_and_fits_the_frame() -> None:
    frame, box = turned(90, place=(0.0, 0.0))
    assert frame.shape == (WIDTH, WIDTH, 3), "as high as the photo was wide, and never less wide than it was"
    np.testing.assert_allclose(frame[:, :HEIGHT], np.rot90(photo_of_a_tooth(), -1), atol=0.1)
    np.testing.assert_allclose(frame[:, HEIGHT + 1 :], GREY)
    ymin, xmin, ymax, xmax = BOX
    assert box == pytest.approx([xmin, (1 - ymax) * HEIGHT / WIDTH, xmax, (1 - ymin) * HEIGHT / WIDTH], abs=1e-5)


@pytest.mark.parametrize("degrees", [-25, -8, 10, 140])
def test_the_box_follows_the_tooth(degrees) -> None:
    frame, (ymin, xmin, ymax, xmax) = turned(degrees, zoom=1.3, place=(0.2, 0.9))
    rows, columns = np.nonzero(frame[:, :, 0] > 180)
    height, width = frame.shape[:2]
    seen = [rows.min() / height, columns.min() / width, (rows.max() + 1) / height, (columns.max() + 1) / width]
    assert [ymin, xmin, ymax, xmax] == pytest.approx(seen, abs=1.5 / min(height, width))


def test_no_part_of_a_photo_is_lost_at_any_angle() -> None:
    for degrees in (0, 7, 45, 90, 200):
        frame, _ = turned(degrees, place=(1.0, 0.0))
        assert (np.abs(frame[:, :, 0] - GREY) > 30).sum() == pytest.approx(HEIGHT * WIDTH, rel=0.02)


def test_random_changes_stay_within_their_limits() -> None:
    framed = [applied(Augmentation(zoom_out=0.5), seed)["image"].shape for seed in range(60)]
    assert 15 < sum(shape != (HEIGHT, WIDTH, 3) for shape in framed) < 45
    assert max(height for height, _, _ in framed) <= math.ceil(HEIGHT * MAX_FRAME)
    # The narrower side grows most: by the sine of the angle times the other.
    angled = [applied(Augmentation(rotation=10), seed)["image"].shape for seed in range(60)]
    widest = HEIGHT * math.cos(math.radians(10)) + WIDTH * math.sin(math.radians(10))
    assert widest - 4 < max(height for height, _, _ in angled) <= math.ceil(widest)


def test_white_balance_changes_neither_green_nor_boxes() -> None:
    before = photo_of_a_tooth()
    for seed in range(5):
        after = applied(Augmentation(white_balance=0.2), seed)
        red, green, blue = np.moveaxis(after["image"].numpy(), 2, 0)
        np.testing.assert_array_equal(green, before[:, :, 1])
        for channel in (red, blue):
            assert 16 <= channel.min() <= 24
            assert channel.max() >= 200
        assert (red != blue).any()
        np.testing.assert_allclose(after["groundtruth_boxes"].numpy(), [BOX])


def test_the_seed_decides_and_no_augmentation_changes_nothing() -> None:
    all_of_it = Augmentation(10, 0.5, 0.1)
    first, again, other = (applied(all_of_it, seed)["image"].numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    given = example(photo_of_a_tooth())
    assert UNCHANGED.apply(given) is given
