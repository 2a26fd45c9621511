"""Fixtures of the tests of the benchmarks."""

from collections.abc import Iterator

import pytest

from benchmarks import photos


@pytest.fixture(scope="module")
def small_photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty cache of photos, and small photos instead of 12 megapixels."""
    pytest.importorskip("scipy", reason="the training environment, which renders photos, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "CACHE", tmp_path_factory.mktemp("photos"))
        patch.setattr(photos, "SIZES", (photos.SMALL,))
        patch.setattr(photos, "REAL", tmp_path_factory.mktemp("none"))
        patch.setattr(photos.real, "__defaults__", (photos.REAL, 40))
        yield
