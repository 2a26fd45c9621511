"""Photos of folders to annotated photos and a table of boxes: the work of `caries detect`."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.engine import open_engine
from app.errors import CariesError, PhotoTooLarge
from app.images import MediaType
from app.screen_photo import Options, ScreenedPhoto, Screener
from app.settings import Settings

TABLE = "detections.csv"
PREFIX = "[Result]"
"""Before the name of every annotated photo."""

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"})
"""What is taken from a folder; a file that is named itself is always taken."""

SUFFIXES: dict[MediaType, str] = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}

COLUMNS = (
    *("file", "verdict", "reasons", "teeth_seen", "class", "class_id", "score", "xmin", "ymin", "xmax", "ymax"),
    *("hidden_by_max_boxes", "result"),
)

Failure = tuple[Path, str]


def detect_photos(
    inputs: Iterable[Path], out: Path, options: Options, settings: Settings, *, print_json: bool = False
) -> list[Failure]:
    """Screens every photo, writes `[Result]<name>` for each and `detections.csv` for all into the folder `out`.

    Files appear whole or not at all. A photo that fails does not stop the others.

    Args:
        inputs: photos and folders; folders are searched with their subfolders, `out` and earlier results left out.
        out: made if need be.
        options: with the media type of the annotated photos.
        settings: limits, model and runtime. The deadline does not apply.
        print_json: print each answer as a line of JSON on standard output, with the photo's path as `file`.

    Returns:
        The inputs that failed, each with the reason, in order.

    Raises:
        CariesError: the detector cannot be loaded.
    """
    photos, failures = find_photos(inputs, out)
    if photos:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CariesError(f"{out} cannot be used for the results: {error.strerror}") from error
        engine = open_engine(settings)
        engine.deadline_s = None
        engine.start()
        try:
            failures += asyncio.run(_screen_all(photos, out, options, Screener.of_settings(engine, settings), print_json))
        finally:
            engine.close()
    return failures


def find_photos(inputs: Iterable[Path], out: Path) -> tuple[list[Path], list[Failure]]:
    """The photos that the inputs name, each once and in order, and the inputs that name none."""
    photos: dict[Path, Path] = {}
    failures: list[Failure] = []
    results = out.resolve()
    for given in inputs:
        if given.is_dir():
            found = [
                path
                for path in sorted(given.rglob("*"))
                if path.suffix.lower() in PHOTO_SUFFIXES
                and path.is_file()
                and not path.name.startswith((PREFIX, "."))
                and (results not in path.resolve().parents or results == given.resolve())
            ]
            if not found:
                failures.append((given, f"the folder holds no photo ({', '.join(sorted(PHOTO_SUFFIXES))})"))
        elif given.exists():
            found = [given]
        else:
            found = []
            failures.append((given, "there is no such file or folder"))
        for path in found:
            photos.setdefault(path.resolve(), path)
    return list(photos.values()), failures


def result_names(photos: Iterable[Path], suffix: str) -> dict[Path, str]:
    """`[Result]<stem><suffix>` for each photo; photos of the same stem get ` (2)`, ` (3)`, ... in their order.

    Names that differ in case only count as the same, since some file systems take them for one.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for photo in photos:
        number, name = 1, f"{PREFIX}{photo.stem}{suffix}"
        while name.casefold() in taken:
            number += 1
            name = f"{PREFIX}{photo.stem} ({number}){suffix}"
        taken.add(name.casefold())
        names[photo] = name
    return names


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name when the block ends well, and not at all otherwise."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


async def _screen_all(
    photos: list[Path], out: Path, options: Options, screener: Screener, print_json: bool
) -> list[Failure]:
    from tqdm import tqdm

    assert options.media_type is not None
    names = result_names(photos, SUFFIXES[options.media_type])
    failures: list[Failure] = []
    with written_whole(out / TABLE) as stream, tqdm(total=len(photos), unit="photo", file=sys.stderr) as bar:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        async for photo, answer in _in_order(photos, options, screener):
            if isinstance(answer, ScreenedPhoto):
                try:
                    await asyncio.to_thread(_write_bytes, out / names[photo], answer.picture or b"")
                    table.writerows(_rows(photo, answer, names[photo]))
                    if print_json:
                        print(json.dumps({"file": str(photo), **answer.as_dict()}, ensure_ascii=False), flush=True)
                except OSError as error:
                    failures.append((photo, f"the result cannot be written: {error.strerror}"))
            else:
                failures.append((photo, answer))
            bar.update()
    screener.close()
    return failures
