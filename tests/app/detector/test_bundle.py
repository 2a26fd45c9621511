import json

import pytest

from app.detector.bundle import (
    INT8_MODEL,
    MANIFEST,
    find_bundle,
    list_bundles,
    read_bundle,
    replacements,
    write_manifest,
)
from app.errors import BundleError, RuntimeUnavailable, UnknownModel
from tests.app.api.live_server import write_bundle
from tests.app.detector.stand_ins import manifest


@pytest.fixture
def bundle_folder(tmp_path):
    folder = tmp_path / "teeth" / "3"
    (folder / "variables").mkdir(parents=True)
    (folder / "model.tflite").write_bytes(b"model")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    write_manifest(folder, manifest("teeth", 3, score_threshold=0.4))
    return folder


def test_reads_what_was_written(bundle_folder) -> None:
    bundle = read_bundle(bundle_folder)
    assert (bundle.name, bundle.version, bundle.screened_class_id) == ("teeth", 3, 2)
    assert dict(bundle.class_names) == {1: "normal", 2: "caries"}
    assert bundle.operating_point.score_threshold == 0.4
    assert len(bundle.sha256) == 64


def test_an_altered_file_is_named(bundle_folder) -> None:
    (bundle_folder / "variables" / "variables.index").write_bytes(b"indeX")
    with pytest.raises(BundleError, match=r"variables/variables\.index was altered"):
        read_bundle(bundle_folder)
    assert read_bundle(bundle_folder, verify=False).version == 3


def test_a_missing_file_is_named(bundle_folder) -> None:
    (bundle_folder / "model.tflite").unlink()
    with pytest.raises(BundleError, match=r"model\.tflite is listed .* missing"):
        read_bundle(bundle_folder)


def test_an_unlisted_file_is_named(bundle_folder) -> None:
    (bundle_folder / "extra.so").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"extra\.so is not listed"):
        read_bundle(bundle_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=99), "format version 99"),
        (lambda m: m.pop("classes"), "classes"),
        (lambda m: m.update(screened_class="gold"), "gold"),
        (lambda m: m["files"].update({"../../etc/passwd": {"sha256": "0", "bytes": 1}}), "outside the bundle"),
        (lambda m: m.update(files={}), "lists no files|not listed"),
        (lambda m: m["model"].update(name="../x"), "names the model"),
        (lambda m: m["model"].update(version=0), "version 0"),
    ],
)
def test_a_wrong_manifest_is_refused(bundle_folder, change, message) -> None:
    content = json.loads((bundle_folder / MANIFEST).read_text())
    change(content)
    (bundle_folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle_folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format_version": 1}'])
def test_an_invalid_manifest_is_refused(tmp_path, text) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BundleError):
        read_bundle(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        read_bundle(tmp_path)


def test_the_newest_version_wins(tmp_path) -> None:
    for name, version in (("teeth", "2"), ("teeth", "10"), ("gums", "1"), ("teeth", "draft"), (".teeth", "1")):
        folder = tmp_path / name / version
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text("{}")
    assert [(name, version) for name, version, _ in list_bundles(tmp_path)] == [
        ("gums", 1),
        ("teeth", 2),
        ("teeth", 10),
    ]
    assert find_bundle(tmp_path, "teeth") == tmp_path / "teeth" / "10"
    assert find_bundle(tmp_path, "teeth", 2) == tmp_path / "teeth" / "2"
    assert find_bundle(tmp_path) == tmp_path / "gums" / "1"
    with pytest.raises(UnknownModel, match=r"teeth version 3 is not in the model store .* teeth 10"):
        find_bundle(tmp_path, "teeth", 3)
    with pytest.raises(UnknownModel, match="contains no bundle"):
        find_bundle(tmp_path / "gums")


def test_a_refusal_names_the_model_that_replaced_a_gone_one(tmp_path) -> None:
    write_bundle(tmp_path, name="teeth", replaces=["gums", "jaws"])
    write_bundle(tmp_path, name="jaws")
    (write_bundle(tmp_path, name="broken") / MANIFEST).write_text("{")
    assert replacements(tmp_path) == {"gums": "teeth"}, "jaws is still in the store"
    with pytest.raises(UnknownModel, match=r"gums is not in the model store .* teeth 1; teeth replaced it$"):
        find_bundle(tmp_path, "gums")
    for name, version in (("lips", None), ("jaws", 2)):
        with pytest.raises(UnknownModel, match=r"teeth 1$"):
            find_bundle(tmp_path, name, version)


def test_a_missing_tflite_file_is_refused_with_what_the_bundle_has(tmp_path) -> None:
    path = write_bundle(tmp_path)
    with pytest.raises(RuntimeUnavailable, match=r"has no model\.tflite: choose the tensorflow runtime$"):
        read_bundle(path).tflite("float32")
    (path / INT8_MODEL).touch()
    with pytest.raises(RuntimeUnavailable, match=r"has no model\.tflite: choose int8 precision$"):
        read_bundle(path, verify=False).tflite("float32")
