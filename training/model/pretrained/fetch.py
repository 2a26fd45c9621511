"""Fetch an archive of weights from the zoo, a mirror or a file; downloads can be resumed.

The cache has a folder for each: the archive's `checkpoint/ckpt-0.*` and `pipeline.config`, and `source.json` with the
SHA-256 of the archive and of every file, for `verify`.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.archives import ArchiveError, unpack
from training.model.pretrained.catalogue import PretrainedWeightsError, Weights, find_weights
from training.output import file_sha256

MIRROR_VARIABLE = "CARIES_PRETRAINED_MIRROR"
"""Environment variable with the URL or path of a folder that replaces the zoo's; archives keep their names."""

TIMEOUT_S = 30
ATTEMPTS = 3
"""Attempts at a transfer that breaks off."""

MAX_UNPACKED_BYTES = 4 * 2**30
"""Ten times the largest archive of the catalogue."""

SOURCE = "source.json"


def cache_folder() -> Path:
    """`caries-screen/pretrained` in the user's cache folder (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caries-screen" / "pretrained"


def fetch(
    name: str, cache: Path, *, source: str | None = None, mirror: str | None = None, sha256: str | None = None
) -> Path:
    """Fetch weights into the cache, unless they are there and intact, and return their folder.

    `source` is the URL or path of the archive, instead of the zoo's; `mirror` that of a folder with the archive, by
    default `MIRROR_VARIABLE`'s; `sha256` is expected of the archive, by default the catalogue's. Raises
    PretrainedWeightsError: the archive is unavailable, differs from the expected one, or contains no checkpoint.
    """
    weights = find_weights(name)
    if weights.url is None:
        raise PretrainedWeightsError(f"{name} is installed with the training environment, there is nothing to fetch")
    expected = sha256 or weights.sha256
    folder = cache / name
    if folder.exists() and source is None:
        verify(name, cache)
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    mirror = mirror or os.environ.get(MIRROR_VARIABLE)
    location = source or (f"{mirror.rstrip('/')}/{weights.url.rpartition('/')[2]}" if mirror else weights.url)
    if "://" in location:
        archive = _download(location, cache / f"{name}.tar.gz.partial", name)
    else:
        archive = Path(location)
        if not archive.is_file():
            raise PretrainedWeightsError(f"{location} is not a file: give the archive {name}.tar.gz")
    found = file_sha256(archive)
    if expected and found != expected.lower():
        if "://" in location:
            archive.unlink()
        raise PretrainedWeightsError(f"{location} has the sha256 {found}, expected is {expected}")
    _unpack(archive, folder, weights, location, found)
    if "://" in location:
        archive.unlink()
    return folder


def verify(name: str, cache: Path) -> str:
    """Compare the cached files with the digests recorded by `fetch`; return the archive's SHA-256. Raises
    PretrainedWeightsError: the weights were not fetched, or a file is missing or altered."""
    find_weights(name)
    try:
        recorded = json.loads((cache / name / SOURCE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PretrainedWeightsError(
            f"{name} was not fetched: python -m training pretrained fetch {name}, or with --from FILE where there is "
            "no internet"
        ) from error
    for file, digest in recorded["files"].items():
        path = cache / name / file
        if not path.is_file() or file_sha256(path) != digest:
            raise PretrainedWeightsError(f"{path} is missing or was altered: delete {cache / name} and fetch it again")
    return str(recorded["archive_sha256"])


def _download(url: str, partial: Path, name: str) -> Path:
    """Download to `partial`, resuming an earlier call."""
    import httpx

    tag = partial.with_suffix(".etag")
    for attempt in range(1, ATTEMPTS + 1):
        done = partial.stat().st_size if partial.exists() else 0
        headers = {}
        if done and tag.exists():
            headers = {"Range": f"bytes={done}-", "If-Range": tag.read_text(encoding="utf-8")}
        try:
            with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True) as answer:
                if answer.status_code not in (200, 206):
                    raise PretrainedWeightsError(_advice(url, name, f"the server answers {answer.status_code}"))
                resumed = answer.status_code == 206
                _note_version(tag, answer.headers)
                with partial.open("ab" if resumed else "wb") as file:
                    length = int(answer.headers.get("content-length", 0))
                    with tqdm(
                        total=(done if resumed else 0) + length, initial=done if resumed else 0, unit="B",
                        unit_scale=True, desc=name, leave=False,
                    ) as bar:  # fmt: skip
                        for piece in answer.iter_bytes():
                            file.write(piece)
                            bar.update(len(piece))
            tag.unlink(missing_ok=True)
            return partial
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS or isinstance(error, (httpx.ConnectError, httpx.UnsupportedProtocol)):
                reason = str(error) or type(error).__name__
                raise PretrainedWeightsError(_advice(url, name, reason)) from error
    raise AssertionError("every attempt returns or raises")


def _note_version(tag: Path, headers: Any) -> None:
    """Record the file's version on the server, without which a transfer cannot be resumed."""
    version = headers.get("etag") or headers.get("last-modified")
    if version and not version.startswith("W/"):
        tag.write_text(version, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _advice(url: str, name: str, reason: str) -> str:
    return (
        f"{url} cannot be fetched ({reason}): rerun the command to resume; without internet, copy the archive "
        f"to this machine and run: python -m training pretrained fetch {name} --from FILE, or set {MIRROR_VARIABLE}"
    )


def _unpack(archive: Path, folder: Path, weights: Weights, location: str, sha256: str) -> None:
    """Unpack what a training needs into the folder, completely or not at all."""
    with tempfile.TemporaryDirectory(prefix=f".{weights.name}-", dir=folder.parent) as name:
        partial = Path(name)
        try:
            unpack(archive, partial, max_bytes=MAX_UNPACKED_BYTES)
        except ArchiveError as error:
            raise PretrainedWeightsError(f"not an archive of weights: {error}") from error
        found = sorted(partial.rglob("ckpt-0.index"))
        if len(found) != 1:
            raise PretrainedWeightsError(f"{archive} has {len(found)} files ckpt-0.index, expected is one")
        kept = partial / ".kept"
        (kept / "checkpoint").mkdir(parents=True)
        for file in found[0].parent.glob("ckpt-0.*"):
            shutil.move(file, kept / "checkpoint" / file.name)
        config = found[0].parent.parent / "pipeline.config"
        if config.is_file():
            shutil.move(config, kept / "pipeline.config")
        files = {
            path.relative_to(kept).as_posix(): file_sha256(path) for path in sorted(kept.rglob("*")) if path.is_file()
        }
        source = {"from": location.rpartition("/")[2], "archive_sha256": sha256, "files": files}
        (kept / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)
