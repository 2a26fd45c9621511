import numpy as np

from app.photo.resizing import resize
from training.model.checkpoints import load_checkpoint


def test_photos_are_resized_as_in_serving_and_the_graph_is_traced_once(untrained) -> None:
    runtime = load_checkpoint(*untrained)
    photos = list(np.random.default_rng(5).integers(0, 255, (3, 90, 120, 3), np.uint8))
    inputs = [resize(photo, 128, 128) for photo in photos]
    found = [runtime.detect(photo) for photo in photos]
    assert all(len(one) > 0 for one in found)
    for one, other in zip(found, runtime.detect_all(inputs), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
    assert runtime.graph.experimental_get_tracing_count() == 1
