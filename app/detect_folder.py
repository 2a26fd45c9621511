"""The work of `caries detect`: photos of folders to annotated pictures and a table of boxes."""

import asyncio
import csv
import functools
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path, PurePath
from typing import NamedTuple, TypeVar

from app.admission import Admission
from app.detector.engine import Engine, build_engine_from_settings
from app.errors import CariesError, OutputError, PhotoTooLarge, SeveralFrames
from app.photo.formats import PHOTO_SUFFIXES, PICTURE_SUFFIXES
from app.screen_photo import Options, ScreenedPhoto, Screener
from app.settings import Settings

TABLE = "detections.csv"
PREFIX = "[Result]"
"""Starts the name of every annotated picture."""

COLUMNS = (
    *("file", "verdict", "reasons", "teeth_seen", "class", "class_id", "score", "xmin", "ymin", "xmax", "ymax"),
    *("hidden_by_max_boxes", "operating_point", "result", "frame"),
)

T = TypeVar("T")
A = TypeVar("A")
AnyPath = TypeVar("AnyPath", bound=PurePath)
Failure = tuple[Path, str]
Screen = Callable[[bytes], Awaitable[ScreenedPhoto]]


class Source(NamedTuple):
    """What a result is for: a file, or a frame of a DICOM file with several, counted from 1."""

    file: Path
    frame: int | None = None

    @property
    def name(self) -> Path:
        """The file, with the frame behind a number sign."""
        return self.file if self.frame is None else self.file.with_name(f"{self.file.name}#{self.frame}")

    def frames(self, number: int) -> list["Source"]:
        """The frames of the file."""
        return [Source(self.file, frame) for frame in range(1, number + 1)]


def detect_photos(
    inputs: Iterable[Path],
    out: Path,
    options: Options,
    settings: Settings,
    *,
    print_json: bool = False,
    engine: Engine | None = None,
) -> list[Failure]:
    """Screen photos; write `[Result]<name>` for each and `detections.csv` for all into the folder `out`.

    Each frame of a DICOM file with several is a photo, whose result has its number behind a `#`.

    No file is ever incomplete. A photo that fails does not stop the others. Bytes of a file name that are not UTF-8
    are written as `\\udc80` to `\\udcff`, in the table and in JSON.

    Args:
        inputs: photos and folders. Folders are searched with their subfolders, except for `out` and earlier results.
        out: created if missing.
        options: with the media type of the annotated pictures.
        settings: their deadline does not apply.
        print_json: print each answer as a line of JSON on standard output, with the photo's path as `file`, and for a
            frame its number as `frame`.
        engine: the detector, not started; None for the one of the settings.

    Returns:
        The inputs that failed, each with the reason, in order; a frame as `<name>#<frame>`.

    Raises:
        CariesError: the detector cannot be loaded, or `out` cannot be used.
        BrokenPipeError: the reader of the JSON lines has left. The table is not written then.
    """
    photos, failures = find_photos(inputs, out)
    if photos:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{out} cannot be used for the results: {error.strerror}") from error
        engine = engine or build_engine_from_settings(settings)
        engine.start()
        try:
            failures += asyncio.run(_screen_all(photos, out, options, engine, settings, print_json))
        finally:
            engine.close()
    return failures


def find_photos(inputs: Iterable[Path], out: Path) -> tuple[list[Path], list[Failure]]:
    """The photos that the inputs name, each once and in order, and the inputs that name none.

    A file given by name counts as a photo; of a folder, the files with one of `PHOTO_SUFFIXES` do.
    """
    photos: dict[Path, Path] = {}
    failures: list[Failure] = []
    results = out.resolve()
    for given in inputs:
        found = [given] if given.exists() else []
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
                failures.append((given, f"the folder contains no photo ({', '.join(sorted(PHOTO_SUFFIXES))})"))
        elif not found:
            failures.append((given, "there is no such file or folder"))
        for path in found:
            photos.setdefault(path.resolve(), path)
    return list(photos.values()), failures


def result_names(photos: Iterable[AnyPath], suffix: str) -> dict[AnyPath, str]:
    """`[Result]<stem><suffix>` for each photo; photos of the same stem get ` (2)`, ` (3)`, ... in their order.

    Names that differ only in case count as the same, as they do in some file systems.
    """
    names: dict[AnyPath, str] = {}
    taken: set[str] = set()
    for photo in photos:
        names[photo] = _free(f"{PREFIX}{photo.stem}", suffix, taken)
    return names


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """The path to write a file to, which gets its real name when the block succeeds and is removed when it fails."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def _screen_all(
    photos: list[Path], out: Path, options: Options, engine: Engine, settings: Settings, print_json: bool
) -> list[Failure]:
    from tqdm import tqdm

    assert options.media_type is not None
    names = _Names(photos, PICTURE_SUFFIXES[options.media_type])
    failures: list[Failure] = []
    with (
        complete_or_absent(out / TABLE) as partial,
        # Only file names can contain what UTF-8 does not encode.
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        tqdm(total=len(photos), unit="photo", file=sys.stderr) as bar,
        closing(Screener(Admission(photos_open=settings.photos_open), settings.limits)) as screener,
    ):
        table = csv.writer(stream)
        table.writerow(COLUMNS)

        async def answer_for(source: Source) -> ScreenedPhoto | str | int:
            """The answer, the reason why there is none, or the number of frames that have one each."""
            frames, chosen = 0, replace(options, frame=source.frame)

            async def screen(data: bytes) -> ScreenedPhoto:
                nonlocal frames
                try:
                    return await screener.screen(data, chosen, engine)
                except SeveralFrames as error:
                    frames = error.frames
                    raise

            answer = await answer_or_reason(functools.partial(_read, source.file, settings.max_bytes), screen)
            return frames or answer

        async def answers(sources: Iterable[Source]) -> AsyncIterator[tuple[Source, ScreenedPhoto | str]]:
            async for source, answer in answers_in_order(sources, answer_for, settings.photos_open):
                if isinstance(answer, int):
                    bar.total += answer - 1
                    async for each in answers(source.frames(answer)):
                        yield each
                else:
                    yield source, answer

        async for source, answer in answers(map(Source, photos)):
            if isinstance(answer, ScreenedPhoto):
                try:
                    name = names.of(source)
                    await asyncio.to_thread(_write_picture, out / name, answer.picture or b"")
                    table.writerows(_rows(source, answer, name))
                    if print_json:
                        frame = {} if source.frame is None else {"frame": source.frame}
                        print(json.dumps({"file": str(source.file), **frame, **answer.as_dict()}), flush=True)
                except BrokenPipeError:  # the reader closed the pipe; the photo did not fail
                    raise
                except OSError as error:
                    failures.append((source.name, f"the result cannot be written: {error.strerror}"))
            else:
                failures.append((source.name, answer))
            bar.update()
    return failures


class _Names:
    """Names of the results; those of frames are known only once their file is read."""

    def __init__(self, photos: Iterable[Path], suffix: str) -> None:
        self._suffix, self._names = suffix, result_names(photos, suffix)
        self._taken = {name.casefold() for name in self._names.values()}

    def of(self, source: Source) -> str:
        """The name of the file's result; for a frame, with its number behind `#`, which no other result has."""
        name = self._names[source.file]
        if source.frame is None:
            return name
        stem = name.removesuffix(self._suffix)
        return _free(f"{stem}#{source.frame}", self._suffix, self._taken)


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    """`<stem><suffix>`, with ` (2)`, ` (3)`, ... if the name is taken; it is taken then."""
    number, name = 1, f"{stem}{suffix}"
    while name.casefold() in taken:
        number += 1
        name = f"{stem} ({number}){suffix}"
    taken.add(name.casefold())
    return name


async def answers_in_order(
    photos: Iterable[T], answer: Callable[[T], Awaitable[A]], ahead: int
) -> AsyncIterator[tuple[T, A]]:
    """Every photo with its answer; `ahead` photos are processed concurrently."""
    begun: deque[tuple[T, asyncio.Future[A]]] = deque()
    for photo in photos:
        begun.append((photo, asyncio.ensure_future(answer(photo))))
        if len(begun) >= ahead:
            first, task = begun.popleft()
            yield first, await task
    for first, task in begun:
        yield first, await task


async def answer_or_reason(read: Callable[[], bytes], screen: Screen) -> ScreenedPhoto | str:
    """The answer for the photo that `read` returns, or the reason why there is none."""
    try:
        return await screen(await asyncio.to_thread(read))
    except CariesError as error:
        return str(error)
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}"
    except Exception as error:  # a bug that one photo meets does not cost the others their results
        return f"unexpected {type(error).__name__}: {error}"


def _read(photo: Path, max_bytes: int) -> bytes:
    if (size := photo.stat().st_size) > max_bytes:
        raise PhotoTooLarge(f"the photo has {size} bytes; at most {max_bytes} are accepted")
    return photo.read_bytes()


def _rows(source: Source, answer: ScreenedPhoto, result: str) -> Iterator[tuple[object, ...]]:
    """One row for each box; for a photo without boxes, one row with these fields empty."""
    screening = answer.screening
    head = (source.file, screening.verdict.value, " ".join(screening.reasons), screening.teeth_seen)
    tail = (screening.hidden_by_max_boxes, answer.operating_point.name or "", result, source.frame or "")
    for box in answer.boxes():
        corners = (box["box"][name] for name in ("xmin", "ymin", "xmax", "ymax"))
        yield (*head, box["class"], box["class_id"], box["score"], *corners, *tail)
    if not len(screening.shown):
        yield (*head, *[""] * 7, *tail)


def _write_picture(path: Path, data: bytes) -> None:
    with complete_or_absent(path) as partial:
        partial.write_bytes(data)
