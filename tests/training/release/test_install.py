"""Archives of bundles, and installing them: verified before anything changes."""

import hashlib
import io
import shutil
import tarfile

import pytest

from app.detector.bundle import CARD, find_bundle, list_bundles, read_bundle, write_manifest
from app.errors import BundleError, UnknownModel
from training.cli import main
from training.release.install import ReleaseError, archive, install

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path, shipped_bundle):
    folder = tmp_path / "store"
    shutil.copytree(shipped_bundle.path, folder / shipped_bundle.name / str(shipped_bundle.version))
    return folder


@pytest.fixture
def packed(store, tmp_path):
    path = tmp_path / "models.tar.gz"
    archive(store, path)
    return path


def altered_copy(store):
    """The same bundle with another card: valid, and of other content."""
    other = store.parent / "other"
    shutil.copytree(store, other)
    (find_bundle(other) / CARD).write_text("another card")
    rewrite_manifest(find_bundle(other))
    return other


def rewrite_manifest(path, **changes):
    manifest = {**read_bundle(path, verify=False).manifest, **changes}
    (path / "bundle.json").unlink()
    write_manifest(path, {key: value for key, value in manifest.items() if key not in ("files", "format_version")})


def test_an_archive_and_back_is_the_same_bundle(store, packed, tmp_path, capsys) -> None:
    installed = tmp_path / "clinic"
    assert main(["install", str(packed), "--store", str(installed)]) == 0
    assert "installed, threshold" in capsys.readouterr().out
    assert read_bundle(find_bundle(installed)).sha256 == read_bundle(find_bundle(store)).sha256
    assert [path.name for path in installed.iterdir()] == [find_bundle(store).parent.name], "nothing else is left"
    assert main(["install", str(packed), "--store", str(installed)]) == 0
    assert "is already installed" in capsys.readouterr().out


def test_the_settings_that_serve_it_are_printed(store, tmp_path, capsys) -> None:
    clinic = tmp_path / "clinic"

    def said(**model) -> str:
        source = tmp_path / "-".join(map(str, model.values()))
        shutil.copytree(find_bundle(store), source)
        rewrite_manifest(source, model=model)
        assert main(["install", str(source), "--store", str(clinic)]) == 0
        return capsys.readouterr().out

    assert "serves it with" not in said(name="first", version=4)
    assert said(name="mine", version=2).endswith("serves it with CARIES_MODEL=mine\n")
    assert "CARIES_MODEL=mine CARIES_MODEL_VERSION=1: 2 is newer" in said(name="mine", version=1)
    assert "CARIES_MODEL=first CARIES_MODEL_VERSION=3: 4 is newer" in said(name="first", version=3)


def test_the_checksum_is_printed_and_the_bytes_are_repeatable(store, packed, tmp_path, capsys) -> None:
    again = tmp_path / "again.tar.gz"
    for file in store.rglob("*"):
        file.touch()
    assert main(["archive", "--store", str(store), "--out", str(again)]) == 0
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert capsys.readouterr().out == f"{digest}  {again}\n"
    assert again.read_bytes() == packed.read_bytes()
    assert (tmp_path / "again.tar.gz.sha256").read_text() == f"{digest}  again.tar.gz\n"


def test_a_damaged_bundle_is_not_archived(store, tmp_path) -> None:
    (find_bundle(store) / "model.tflite").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"model\.tflite was altered"):
        archive(store, tmp_path / "models.tar.gz")
    assert not (tmp_path / "models.tar.gz").exists()
    with pytest.raises(UnknownModel):
        archive(tmp_path / "nowhere", tmp_path / "models.tar.gz")
    with pytest.raises(UnknownModel):
        archive(store, tmp_path / "models.tar.gz", version=7)


@pytest.mark.parametrize("kind", ["bundle", "store"])
def test_folders_are_installed_too(store, tmp_path, kind) -> None:
    source = find_bundle(store) if kind == "bundle" else store
    ((bundle, is_new),) = install(source, tmp_path / "clinic")
    assert is_new
    assert bundle.path == tmp_path / "clinic" / bundle.name / str(bundle.version)


def test_an_altered_byte_leaves_the_store_as_it_was(store, packed, tmp_path) -> None:
    clinic = tmp_path / "clinic"
    install(packed, clinic)
    before = read_bundle(find_bundle(clinic)).sha256
    (find_bundle(store) / "MODEL_CARD.md").write_text("altered")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md was altered"):
        install(store, clinic, replace=True)
    assert read_bundle(find_bundle(clinic)).sha256 == before
    assert len(list(clinic.iterdir())) == 1


def test_another_bundle_of_the_same_version_needs_replace(store, tmp_path) -> None:
    clinic, other = tmp_path / "clinic", altered_copy(store)
    install(store, clinic)
    with pytest.raises(ReleaseError, match="give --replace, or a new version"):
        install(other, clinic)
    ((bundle, is_new),) = install(other, clinic, replace=True)
    assert is_new
    assert bundle.card == "another card"
    assert [path.name for path in (clinic / bundle.name).iterdir()] == [str(bundle.version)]


def test_a_wrong_checksum_and_a_cut_archive_are_refused(packed, tmp_path, capsys) -> None:
    clinic = tmp_path / "clinic"
    assert main(["install", str(packed), "--store", str(clinic), "--sha256", "00"]) == 1
    assert "expected is 00" in capsys.readouterr().err
    packed.write_bytes(packed.read_bytes()[:-1000])
    with pytest.raises(ReleaseError, match="has the sha256"):
        install(packed, clinic)
    packed.with_name("models.tar.gz.sha256").unlink()
    with pytest.raises(ReleaseError, match="not an archive of bundles"):
        install(packed, clinic)
    with pytest.raises(ReleaseError, match="does not exist"):
        install(tmp_path / "missing.tar.gz", clinic)
    assert list_bundles(clinic) == []


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../../escaped", tarfile.REGTYPE, "outside the destination"),
        ("/etc/escaped", tarfile.REGTYPE, "has no bundle"),
        ("link", tarfile.SYMTYPE, "neither a file nor a folder"),
        ("device", tarfile.CHRTYPE, "neither a file nor a folder"),
        ("empty", tarfile.REGTYPE, "has no bundle"),
    ],
)
def test_a_hostile_archive_touches_nothing(tmp_path, name, kind, message) -> None:
    path = tmp_path / "in" / "models.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as members:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        members.addfile(member, io.BytesIO())
    with pytest.raises(ReleaseError, match=message):
        install(path, tmp_path / "clinic")
    assert not list(tmp_path.rglob("escaped"))
    assert not list((tmp_path / "clinic").iterdir())
