"""Pack bundles in one archive, and install them in a model store: verified first, then moved, all or none."""

import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.detector.bundle import MANIFEST, Bundle, find_bundle, list_bundles, read_bundle
from app.errors import BundleError
from training.archives import ArchiveError, unpack
from training.errors import TrainingError
from training.output import write_file

MAX_UNPACKED_BYTES = 2 * 2**30
"""Of an archive; a bundle has about 30 MB."""


class ReleaseError(TrainingError):
    """The archive is damaged or hostile, or the store has another bundle of the same version."""


def archive(store: Path, out: Path, *, name: str | None = None, version: int | None = None) -> str:
    """Write the verified bundles of a store, or those of one name or version, to a `.tar.gz` and its sha256 to
    `<out>.sha256`; return the sha256. The same bundles always give the same bytes.

    Raises:
        BundleError: a bundle is damaged; nothing is written.
        UnknownModel: the store has no such bundle.
    """
    if name is not None or version is not None:
        find_bundle(store, name, version)
    chosen = [
        path for found, number, path in list_bundles(store) if name in (None, found) and version in (None, number)
    ]
    if not chosen:
        find_bundle(store)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0, compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as members,
    ):
        for bundle in chosen:
            read_bundle(bundle)
            for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
                member = tarfile.TarInfo(file.relative_to(store).as_posix())
                member.size, member.mode = file.stat().st_size, 0o644
                with file.open("rb") as stream:
                    members.addfile(member, stream)
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    write_file(out, packed.getvalue())
    write_file(out.with_name(f"{out.name}.sha256"), f"{digest}  {out.name}\n")
    return digest


def install(
    source: Path, store: Path, *, sha256: str | None = None, replace: bool = False
) -> list[tuple[Bundle, bool]]:
    """Verify bundles and move them to a store, which changes only if all of them are valid.

    Args:
        source: the folder of a bundle, a model store, or an archive that `archive` wrote.
        sha256: expected of the archive; if None, that of `<archive>.sha256` if there is such a file.
        replace: whether to replace a bundle of the same name and version, but other content.

    Returns:
        Every bundle as installed, and whether it is new; a bundle already there with the same content is left alone.

    Raises:
        ReleaseError: the archive is not as expected, or another bundle of the same version is installed.
        BundleError: a bundle is damaged; names the file.
    """
    store.mkdir(parents=True, exist_ok=True)
    with _staged(source, store, sha256) as staged:
        bundles = [read_bundle(path) for _, _, path in list_bundles(staged)]
        if not bundles:
            raise ReleaseError(f"{source} has no bundle: no <model>/<version>/{MANIFEST}")
        for bundle in bundles:
            if bundle.path.parent.name != bundle.name or bundle.path.name != str(bundle.version):
                raise ReleaseError(f"{source} has {bundle.name} {bundle.version} under another name")
            installed = store / bundle.name / str(bundle.version)
            if installed.exists() and not replace and _is_other(installed, bundle):
                raise ReleaseError(f"{installed} is another bundle of this version: give --replace, or a new version")
        return [_move(bundle, store) for bundle in bundles]


@contextmanager
def _staged(source: Path, store: Path, sha256: str | None) -> Iterator[Path]:
    """The bundles to install as a store inside `store`, under a name that servers ignore."""
    staged = Path(tempfile.mkdtemp(prefix=".installing-", dir=store))
    try:
        if (source / MANIFEST).is_file():
            bundle = read_bundle(source)
            shutil.copytree(source, staged / bundle.name / str(bundle.version))
        elif source.is_dir():
            for name, version, path in list_bundles(source):
                shutil.copytree(path, staged / name / str(version))
        elif source.is_file():
            _check_sha256(source, sha256)
            _unpack(source, staged)
        else:
            raise ReleaseError(f"{source} does not exist: give a bundle, a model store or an archive of one")
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _check_sha256(archive: Path, sha256: str | None) -> None:
    checksum = archive.with_name(f"{archive.name}.sha256")
    if sha256 is None and checksum.is_file():
        sha256 = checksum.read_text(encoding="utf-8").split()[0]
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise ReleaseError(f"{archive} has the sha256 {found}, expected is {sha256}")


def _unpack(archive: Path, folder: Path) -> None:
    try:
        unpack(archive, folder, max_bytes=MAX_UNPACKED_BYTES, mode="r:gz")
    except ArchiveError as error:
        raise ReleaseError(f"not an archive of bundles: {error}") from error


def _is_other(installed: Path, bundle: Bundle) -> bool:
    try:
        return read_bundle(installed).sha256 != bundle.sha256
    except BundleError:
        return True


def _move(bundle: Bundle, store: Path) -> tuple[Bundle, bool]:
    target = store / bundle.name / str(bundle.version)
    if target.exists() and not _is_other(target, bundle):
        return read_bundle(target), False
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target.rename(bundle.path.parent / f".old-{bundle.version}")
    bundle.path.chmod(0o755)
    bundle.path.rename(target)
    return read_bundle(target), True
