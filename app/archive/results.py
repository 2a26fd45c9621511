"""The folder of the results, on any file system of fsspec.

plan.json                       what was asked, and the photos of every shard
photos/shard-00000.parquet      a row for each photo, see `SCHEMA`
pictures/shard-00000/           its annotated pictures, if any were asked for
"""

import io
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from app.archive.listing import Failure
from app.archive.plan import Plan, shard_name
from app.errors import OutputError

PLAN = "plan.json"
PARTS = "photos"
PICTURES = "pictures"

BOX = pa.struct(
    [("class", pa.string()), ("class_id", pa.int32()), ("score", pa.float64())]
    + [(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")]
)
SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("verdict", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("teeth_seen", pa.int32()),
        ("boxes", pa.list_(BOX)),
        ("hidden_by_max_boxes", pa.int32()),
        ("operating_point", pa.string()),
        ("score_threshold", pa.float64()),
        ("model", pa.string()),
        ("model_version", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("picture", pa.string()),
        ("error", pa.string()),
    ]
)
"""Of a photo that failed, all but `file` and `error` is null. Boxes are in pixels of the upright photo."""


class Results:
    """The folder `out`, a local path or a URL. Each file is complete or absent."""

    def __init__(self, out: str) -> None:
        self.out = out
        self._files, path = url_to_fs(out)
        self._root = str(path).rstrip("/")

    def read_plan(self) -> Plan | None:
        """The plan of an earlier call, if there was one. Raises OutputError: the file is damaged."""
        try:
            content = json.loads(self._files.cat_file(self._path(PLAN)))
            return Plan(content["asked"], tuple(map(tuple, content["shards"])))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(f"{self.out}/{PLAN} cannot be read: {error}") from error

    def write_plan(self, plan: Plan) -> None:
        """Replace the plan. Raises OutputError: the folder cannot be written."""
        try:
            self.write(PLAN, json.dumps({"asked": plan.asked, "shards": plan.shards}).encode())
        except OSError as error:
            raise OutputError(f"{self.out} cannot be used for the results: {error}") from error

    def finished(self) -> set[int]:
        """The numbers of the shards whose part file is there; removes incomplete files of a killed call."""
        numbers = set()
        for path in self._parts():
            name = path.rpartition("/")[2]
            if name.endswith(".parquet"):
                numbers.add(int(name.removesuffix(".parquet").rpartition("-")[2]))
            elif name.endswith(".partial"):
                self._files.rm_file(path)
        return numbers

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one step, replacing an earlier one."""
        path = self._path(name)
        if "file" not in self._files.protocol:
            self._files.pipe_file(path, data)  # object stores show complete objects only
            return
        file = Path(path)
        partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)

    def write_part(self, number: int, rows: Sequence[dict[str, Any]]) -> None:
        """Write the rows of a shard."""
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), stream, compression="zstd")
        self.write(f"{PARTS}/{shard_name(number)}.parquet", stream.getvalue())

    def failures(self) -> Iterator[Failure]:
        """The photos without a result, each with the reason."""
        for path in self._parts():
            if path.endswith(".parquet"):
                with self._files.open(path, "rb") as stream:
                    table = pq.read_table(stream, columns=["file", "error"])
                for row in table.filter(table["error"].is_valid()).to_pylist():
                    yield row["file"], row["error"]

    def _parts(self) -> list[str]:
        try:
            return sorted(self._files.ls(self._path(PARTS), detail=False, refresh=True))
        except FileNotFoundError:
            return []

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
