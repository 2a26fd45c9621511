"""Photos for all runtimes."""

import importlib.util

import pytest

from app.photo.decoding import decode

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)


@pytest.fixture(scope="module")
def photos(example_photos):
    return [decode(path.read_bytes()).pixels for path in example_photos]
