"""Photos of folders to annotated photos and a table of boxes: the work of `caries detect`."""

from __future__ import annotations

import asyncio
import csv
import functools
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from app.detector.engine import Engine, open_engine
from app.errors import CariesError, OutputError, PhotoTooLarge
from app.photo.formats import MediaType
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
Screen = Callable[[bytes], Awaitable[ScreenedPhoto]]


def detect_photos(
    inputs: Iterable[Path],
    out: Path,
    options: Options,
    settings: Settings,
    *,
    print_json: bool = False,
    engine: Engine | None = None,
) -> list[Failure]:
    """Screens every photo, writes `[Result]<name>` for each and `detections.csv` for all into the folder `out`.

    Files appear whole or not at all. A photo that fails does not stop the others. Bytes of a name that are not UTF-8
    stand in the table, and as JSON, as `\\udc80` to `\\udcff`.

    Args:
        inputs: photos and folders; folders are searched with their subfolders, an `out` inside them and earlier results
            left out.
        out: made if need be.
        options: with the media type of the annotated photos.
        settings: limits, model and runtime. The deadline does not apply.
        engine: the detector, not started; the one that the settings name if None.
        print_json: print each answer as a line of JSON on standard output, with the photo's path as `file`.

    Returns:
        The inputs that failed, each with the reason, in order.

    Raises:
        CariesError: the detector cannot be loaded, or `out` cannot be created.
        BrokenPipeError: nobody reads the printed lines any more. The table is not written then.
    """
    photos, failures = find_photos(inputs, out)
    if photos:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{out} cannot be used for the results: {error.strerror}") from error
        engine = engine or open_engine(settings)
        engine.deadline_s = None
        engine.start()
        try:
            failures += asyncio.run(_screen_all(photos, out, options, engine, settings, print_json))
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
            results_inside = given.resolve() in results.parents
            found = [
                path
                for path in sorted(given.rglob("*"))
                if path.suffix.lower() in PHOTO_SUFFIXES
                and path.is_file()
                and not path.name.startswith((PREFIX, "."))
                and not (results_inside and results in path.resolve().parents)
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
        # Names of files may hold bytes of another encoding, which nothing else here can.
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def _screen_all(
    photos: list[Path], out: Path, options: Options, engine: Engine, settings: Settings, print_json: bool
) -> list[Failure]:
    from tqdm import tqdm

    assert options.media_type is not None
    names = result_names(photos, SUFFIXES[options.media_type])
    failures: list[Failure] = []
    with (
        written_whole(out / TABLE) as stream,
        tqdm(total=len(photos), unit="photo", file=sys.stderr) as bar,
        closing(Screener.of_settings(settings)) as screener,
    ):
        screen = functools.partial(screener.screen, options=options, engine=engine)
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        answers = _in_order(photos, screen, settings.max_bytes, settings.photos_open)
        async for photo, answer in answers:
            if isinstance(answer, ScreenedPhoto):
                try:
                    await asyncio.to_thread(_write_bytes, out / names[photo], answer.picture or b"")
                    table.writerows(_rows(photo, answer, names[photo]))
                    if print_json:
                        print(json.dumps({"file": str(photo), **answer.as_dict()}), flush=True)
                except BrokenPipeError:  # no fault of the photo: whoever reads the lines has enough
                    raise
                except OSError as error:
                    failures.append((photo, f"the result cannot be written: {error.strerror}"))
            else:
                failures.append((photo, answer))
            bar.update()
    return failures


async def _in_order(
    photos: list[Path], screen: Screen, max_bytes: int, ahead: int
) -> AsyncIterator[tuple[Path, ScreenedPhoto | str]]:
    """Every photo with its answer, or with the reason why there is none; `ahead` photos are worked on at once."""
    begun: deque[tuple[Path, asyncio.Task[ScreenedPhoto | str]]] = deque()
    for photo in photos:
        begun.append((photo, asyncio.create_task(_answer(photo, screen, max_bytes))))
        if len(begun) >= ahead:
            first, task = begun.popleft()
            yield first, await task
    for first, task in begun:
        yield first, await task


async def _answer(photo: Path, screen: Screen, max_bytes: int) -> ScreenedPhoto | str:
    try:
        return await screen(await asyncio.to_thread(_read, photo, max_bytes))
    except CariesError as error:
        return str(error)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    except Exception as error:  # a mistake of ours with one photo does not cost the others their results
        return f"unexpected {type(error).__name__}: {error}"


def _read(photo: Path, max_bytes: int) -> bytes:
    size = photo.stat().st_size
    if size > max_bytes:
        raise PhotoTooLarge(f"the photo has {size} bytes; at most {max_bytes} are accepted")
    return photo.read_bytes()


def _rows(photo: Path, answer: ScreenedPhoto, result: str) -> Iterator[tuple[object, ...]]:
    """One row for each box; a photo without boxes has one with the box's fields empty."""
    screening = answer.screening
    head = (photo, screening.verdict.value, " ".join(screening.reasons), screening.teeth_seen)
    tail = (screening.hidden_by_max_boxes, result)
    for box in answer.boxes():
        corners = (box["box"][name] for name in ("xmin", "ymin", "xmax", "ymax"))
        yield (*head, box["class"], box["class_id"], box["score"], *corners, *tail)
    if not len(screening.shown):
        yield (*head, *[""] * 7, *tail)


def _write_bytes(path: Path, data: bytes) -> None:
    """Writes a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
