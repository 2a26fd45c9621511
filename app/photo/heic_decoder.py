"""The process that decodes one HEIC photo; `app.photo.separate` starts it and describes the protocol."""

from collections.abc import Sequence
from types import ModuleType

from app.photo.separate_decoder import give_back, read_photo, run, size_is_accepted

THREADS = 2
"""Threads that decode the tiles of one photo."""


def load() -> ModuleType:
    """libheif."""
    import _pi_heif  # type: ignore[import-not-found]

    heif: ModuleType = _pi_heif
    return heif


def decode(memory: int, heif: ModuleType, _: Sequence[str]) -> None:
    """Replace the photo in the memory by its samples and its colour profile.

    Bypasses `pi_heif.open_heif`, which reads the metadata of every picture: in version 1.4.0 a metadata item whose type
    is not UTF-8 causes a segmentation fault. None of that metadata is needed.
    """
    data = read_photo(memory)
    pictures = [one for one in heif.load_file(data, THREADS, True, False, True, True, "", False) if one is not None]
    primary = next((picture for picture in pictures if picture.primary), pictures[0])
    size, _ = primary.size_mode
    if not size_is_accepted(len(pictures), size):
        return
    samples = primary.data
    size, mode = primary.size_mode
    profile = primary.color_profile
    icc = profile["data"] if profile and profile["type"] in ("rICC", "prof") else b""
    give_back(memory, mode, size, primary.stride, samples, icc)


if __name__ == "__main__":
    run(load, decode)
