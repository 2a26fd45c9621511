"""What may enter the queue."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from app.errors import PhotoTooLarge, UnreadablePhoto
from app.gateway.intake import keep
from app.gateway.store import Kind, Store
from tests.app.gateway.archives import photo
from tests.app.photo import dicom_files


def test_what_enters(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        assert keep(store, photo(), 10**6)
        assert not keep(store, photo(), 10**6)
        assert not keep(store, photo(2, Manufacturer="caries-screen"), 10**6)
        with pytest.raises(PhotoTooLarge):
            keep(store, photo(3), 1000)
        with pytest.raises(UnreadablePhoto):
            keep(store, photo(3)[:300], 10**6)
        with pytest.raises(UnreadablePhoto, match="no SOP Instance UID"):
            keep(store, dicom_files.native(SOPInstanceUID=None), 10**6)
        assert len(store.due(Kind.PHOTO, limit=9)) == 1
