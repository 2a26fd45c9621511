"""The actor: one detector with one thread, which screens a shard of photos after the other."""

import asyncio
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from app.admission import Admission
from app.archive.listing import read_photo
from app.archive.plan import shard_name
from app.archive.results import PICTURES, Results
from app.detect_folder import answer_or_reason, answers_in_order, result_names
from app.detector.engine import build_engine_from_settings
from app.errors import BundleError, WorkerDied
from app.photo.formats import PICTURE_SUFFIXES
from app.process.memory import keep_out_of_core_dumps, return_large_blocks
from app.screen_photo import Options, ScreenedPhoto, Screener
from app.settings import Settings

AHEAD = 2
"""Photos processed concurrently: the next one is read and decoded while the detector runs."""

Batch = dict[str, np.ndarray[Any, Any]]


def item(number: int, photos: tuple[str, ...]) -> dict[str, Any]:
    """A shard as a row of Ray Data. As JSON, since Arrow refuses names that are not UTF-8."""
    return {"shard": number, "photos": json.dumps(photos)}


class ShardScreener:
    """Screens the photos of a shard and writes its part file and its pictures."""

    def __init__(self, settings: Settings, options: Options, out: str, model_sha256: str) -> None:
        """Start the detector.

        Raises:
            BundleError: this node has another model than the command's machine.
        """
        keep_out_of_core_dumps()
        return_large_blocks()
        self._settings = replace(settings, workers=1, threads=1, photos_open=AHEAD)
        self._options = options
        self._results = Results(out)
        self._engine = build_engine_from_settings(self._settings)
        bundle = self._engine.bundle
        if bundle.sha256 != model_sha256:
            raise BundleError(f"{bundle.path} on this node is another model than on the machine of the command")
        self._engine.start()
        self._runner = asyncio.Runner()
        self._screener = self._runner.run(self._new_screener())

    def __call__(self, batch: Batch) -> Batch:
        """Screen the only shard of the batch; return its number, and how many photos it has."""
        number, photos = int(batch["shard"][0]), tuple(json.loads(batch["photos"][0]))
        self._runner.run(self._screen(number, photos))
        return {"shard": np.array([number]), "photos": np.array([len(photos)])}

    async def _new_screener(self) -> Screener:
        return Screener(Admission(photos_open=AHEAD), self._settings.limits)

    async def _screen(self, number: int, photos: tuple[str, ...]) -> None:
        suffix = PICTURE_SUFFIXES.get(self._options.media_type or "", "")
        names = result_names(map(PurePosixPath, photos), suffix)
        rows = []
        async for photo, answer in answers_in_order(photos, self._answer, AHEAD):
            # Only file names can contain what UTF-8 does not encode.
            row: dict[str, Any] = {"file": photo.encode(errors="backslashreplace").decode()}
            if isinstance(answer, ScreenedPhoto):
                row |= _columns(answer)
                if answer.picture is not None:
                    row["picture"] = f"{PICTURES}/{shard_name(number)}/{names[PurePosixPath(photo)]}"
                    row["picture"] = row["picture"].encode(errors="backslashreplace").decode()
                    await asyncio.to_thread(self._results.write, row["picture"], answer.picture)
            else:
                row["error"] = answer
            rows.append(row)
        await asyncio.to_thread(self._results.write_part, number, rows)

    async def _answer(self, photo: str) -> ScreenedPhoto | str:
        return await answer_or_reason(lambda: read_photo(photo, self._settings.max_bytes), self._screen_photo)

    async def _screen_photo(self, data: bytes) -> ScreenedPhoto:
        try:
            return await self._screener.screen(data, self._options, self._engine)
        except WorkerDied:  # perhaps by another photo, or for want of memory
            return await self._screener.screen(data, self._options, self._engine)


def _columns(answer: ScreenedPhoto) -> dict[str, Any]:
    screening = answer.screening
    return {
        "verdict": screening.verdict.value,
        "reasons": [reason.value for reason in screening.reasons],
        "teeth_seen": screening.teeth_seen,
        "boxes": [{**box, **box["box"]} for box in answer.boxes()],
        "hidden_by_max_boxes": screening.hidden_by_max_boxes,
        "operating_point": answer.operating_point.name,
        "score_threshold": answer.operating_point.score_threshold,
        "model": answer.bundle.name,
        "model_version": answer.bundle.version,
        "width": answer.width,
        "height": answer.height,
        "sha256": answer.sha256,
    }
