"""Photos in DICOM files: colours against second decoders, limits, and what is refused."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    VLEndoscopicImageStorage,
    VLPhotographicImageStorage,
)

from app.errors import InvalidParameter, PhotoTooLarge, SeveralFrames, UnreadablePhoto, UnsupportedPhoto
from app.photo import dicom, separate
from app.photo.decoding import decode
from app.photo.dicom_uids import SOP_CLASSES
from app.photo.limits import Limits
from tests.app.photo import dicom_files as files
from tests.app.photo.pictures import assert_four_colours, camera_photo, display_p3, four_colours, saved
from tests.conftest import ROOT

NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
COMPRESSED = [JPEG2000Lossless, JPEGLSLossless, RLELossless]
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NOISE = np.asarray(camera_photo(100, 75))

OF_PYDICOM = [
    *("SC_jpeg_no_color_transform.dcm", "SC_jpeg_no_color_transform_2.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"),
    *("SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm"),
    *("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_jls_lossy_sample.dcm"),
    *("SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_jpeg_dcmd.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_rle.dcm"),
    *("SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd_jpeg.dcm"),
    *("SC_ybr_full_422_uncompressed.dcm", "ExplVR_BigEnd.dcm", "examples_jpeg2k.dcm", "examples_palette.dcm"),
    *("examples_rgb_color.dcm", "examples_ybr_color.dcm"),
]
"""Files of pydicom and the encoders that wrote them: dcmtk, GDCM and others."""


def by_pydicom(data: bytes, frame: int = 1) -> np.ndarray:
    read = pydicom.dcmread(io.BytesIO(data))
    pixels = pixel_array(read, index=frame - 1)
    if read.PhotometricInterpretation == "PALETTE COLOR":
        coloured = apply_color_lut(pixels, read)
        return (coloured >> 8).astype(np.uint8) if coloured.dtype == np.uint16 else coloured
    return pixels


def by_dcmtk(data: bytes, folder: Path, reader: str = "dcm2pnm") -> np.ndarray:
    """Read by a program of dcmtk: dcmj2pnm for JPEG, dcml2pnm for JPEG-LS."""
    if shutil.which(reader) is None:
        pytest.skip("dcmtk is not installed")
    source, out = folder / "photo.dcm", folder / "photo.ppm"
    source.write_bytes(data)
    subprocess.run([reader, "--write-raw-pnm", source, out], check=True, capture_output=True)
    return np.asarray(Image.open(out))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OF_PYDICOM)
def test_colours_are_those_of_pydicom(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    others = ("1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1")
    monkeypatch.setattr(dicom, "SOP_CLASSES", SOP_CLASSES | dict.fromkeys(others, "ultrasound"))
    data = (TEST_FILES / name).read_bytes()
    difference = np.abs(decode(data, frame=1).pixels.astype(int) - by_pydicom(data))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


@pytest.mark.parametrize("syntax", NATIVE)
def test_native_pixels(tmp_path: Path, syntax: str) -> None:
    for picture in (NOISE, NOISE[:75, :99], NOISE[:71, :33]):
        data = files.native(picture, syntax)
        np.testing.assert_array_equal(decode(data).pixels, picture)
        np.testing.assert_array_equal(by_dcmtk(data, tmp_path), picture)


def test_words_of_big_endian_pixels_are_swapped() -> None:
    made = files.dataset(Rows=75, Columns=100)
    swapped = np.frombuffer(NOISE.tobytes(), np.uint16).byteswap().tobytes()
    np.testing.assert_array_equal(
        decode(files.written(made, ExplicitVRBigEndian, pixels=swapped, vr="OW")).pixels, NOISE
    )


def test_planes() -> None:
    made = files.dataset(Rows=75, Columns=100, PlanarConfiguration=1)
    data = files.written(made, pixels=NOISE.transpose(2, 0, 1).tobytes())
    np.testing.assert_array_equal(decode(data).pixels, NOISE)


def test_luminance_and_colour_differences(tmp_path: Path) -> None:
    transformed = np.asarray(Image.fromarray(NOISE).convert("YCbCr"))
    pairs = transformed.reshape(75, 50, 2, 3)
    shared = np.concatenate([pairs[..., 0], pairs[:, :, 0, 1:]], axis=2)
    for photometric, pixels in (("YBR_FULL", transformed), ("YBR_FULL_422", shared)):
        data = files.written(
            files.dataset(Rows=75, Columns=100, PhotometricInterpretation=photometric), pixels=pixels.tobytes()
        )
        found = decode(data).pixels.astype(int)
        assert np.abs(found - by_pydicom(data)).max() <= 1
        assert np.abs(found - by_dcmtk(data, tmp_path)).max() <= 2
        if photometric == "YBR_FULL":
            assert np.abs(found - NOISE).max() <= 3


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", NATIVE)
def test_palettes(tmp_path: Path, bits: int, syntax: str) -> None:
    data = files.palette(bits, syntax)
    assert_four_colours(decode(data).pixels, tolerance=0)
    if bits == 16 and syntax != ExplicitVRBigEndian:
        np.testing.assert_array_equal(decode(data).pixels, by_pydicom(data))
    np.testing.assert_array_equal(decode(data).pixels, by_dcmtk(data, tmp_path))


def test_a_palette_in_rle() -> None:
    assert_four_colours(decode(files.palette(16, codestream=True)).pixels, tolerance=0)


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_compression_without_loss(tmp_path: Path, syntax: str) -> None:
    data = files.compressed(syntax, NOISE)
    np.testing.assert_array_equal(decode(data).pixels, NOISE)
    np.testing.assert_array_equal(by_pydicom(data), NOISE)


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        (["dcmcrle"], "dcm2pnm"),
        (["dcmcjpls"], "dcml2pnm"),
        (["dcmcjpls", "+en", "+il"], "dcml2pnm"),
        (["dcmcjpeg", "+eb", "+cr"], "dcmj2pnm"),
    ],
)
def test_files_that_dcmtk_wrote(tmp_path: Path, command: list[str], reader: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip("dcmtk is not installed")
    source, out = tmp_path / "native.dcm", tmp_path / "compressed.dcm"
    source.write_bytes(files.native(NOISE))
    subprocess.run([*command, source, out], check=True, capture_output=True)
    data = out.read_bytes()
    found = decode(data).pixels.astype(int)
    assert np.abs(found - by_pydicom(data)).max() <= 1
    assert np.abs(found - by_dcmtk(data, tmp_path, reader)).max() <= 1


def test_jpeg_2000_is_as_another_decoder_reads_it() -> None:
    openjpeg = pytest.importorskip("openjpeg")
    codestream = files.jpeg_2000(NOISE, irreversible=True, quality_layers=[8])
    made = files.dataset(Rows=75, Columns=100, PhotometricInterpretation="YBR_ICT")
    found = decode(files.written(made, "1.2.840.10008.1.2.4.91", pixels=[codestream])).pixels
    np.testing.assert_array_equal(found, openjpeg.decode(codestream))


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_jpeg_ls_in_every_interleave_mode(mode: int) -> None:
    picture = NOISE.transpose(2, 0, 1) if mode == 0 else NOISE
    made = files.dataset(Rows=75, Columns=100)
    np.testing.assert_array_equal(
        decode(files.written(made, JPEGLSLossless, pixels=[files.jpeg_ls(picture, mode)])).pixels, NOISE
    )


def test_jpeg_2000_with_a_colour_transform_that_is_not_its_own() -> None:
    transformed = np.asarray(Image.fromarray(NOISE).convert("YCbCr"))
    made = files.dataset(Rows=75, Columns=100, PhotometricInterpretation="YBR_FULL")
    data = files.written(made, JPEG2000Lossless, pixels=[files.jpeg_2000(transformed, mct=0)])
    assert np.abs(decode(data).pixels.astype(int) - NOISE).max() <= 3


def without_segments(data: bytes) -> bytes:
    """A JPEG without its JFIF segment."""
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def test_jpeg_of_red_green_and_blue_components() -> None:
    """Without a JFIF or Adobe segment, only the DICOM file says what the components are."""
    components = Image.frombytes("YCbCr", (64, 48), four_colours().tobytes())
    codestream = without_segments(saved(components, "JPEG", **files.JPEG_OPTIONS))
    data = files.written(files.dataset(), JPEGBaseline8Bit, pixels=[codestream])
    assert_four_colours(decode(data).pixels)
    assert_four_colours(by_pydicom(data))
    assert decode(files.jpeg(PhotometricInterpretation="RGB")).pixels[0, 0, 0] > 200, "a JFIF segment decides"


def test_jpeg_of_another_pixel_number_is_refused() -> None:
    with pytest.raises(UnreadablePhoto, match="says 64x50 pixels; its JPEG has 64x48"):
        decode(files.jpeg(Rows=50))


def test_a_large_jpeg_is_scaled() -> None:
    picture = camera_photo(1400, 1050)
    photo = decode(files.jpeg(picture), shorter_side=250)
    assert photo.pixels.shape == (263, 350, 3)
    assert (photo.width, photo.height) == (1400, 1050)


def test_pixels_are_not_turned() -> None:
    """Neither by EXIF, which DICOM does not know, nor by Patient Orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    codestream = saved(Image.fromarray(four_colours()), "JPEG", exif=exif, **files.JPEG_OPTIONS)
    made = files.dataset(PhotometricInterpretation="YBR_FULL", PatientOrientation=["L", "F"])
    assert_four_colours(decode(files.written(made, JPEGBaseline8Bit, pixels=[codestream])).pixels)


@pytest.mark.parametrize("write", [files.native, files.jpeg])
def test_colour_profiles_are_applied(write: Any) -> None:
    wide = decode(write(ICCProfile=display_p3())).pixels
    assert wide[0, 0, 0] > 230, "red is beyond sRGB's"


def test_frames() -> None:
    pictures = [np.full((48, 64, 3), shade, np.uint8) for shade in (20, 120, 220)]
    data = files.frames(pictures)
    for frame, shade in enumerate((20, 120, 220), 1):
        assert abs(int(decode(data, frame=frame).pixels[5, 5, 0]) - shade) <= 2
    with pytest.raises(SeveralFrames, match="contains 3 frames; name one with frame") as raised:
        decode(data)
    assert raised.value.frames == 3
    with pytest.raises(InvalidParameter, match="frame is 4; the DICOM file contains 3"):
        decode(data, frame=4)
    with pytest.raises(PhotoTooLarge, match="contains 3 pictures; at most 2"):
        decode(data, Limits(max_frames=2), frame=1)
    native = files.written(
        files.dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4", NumberOfFrames=3),
        pixels=b"".join(picture.tobytes() for picture in pictures),
    )
    assert decode(native, frame=2).pixels.tolist() == pictures[1].tolist()


def test_other_photos_have_one_frame() -> None:
    png = saved(Image.fromarray(four_colours()), "PNG")
    assert decode(png, frame=1).width == 64
    with pytest.raises(InvalidParameter, match="frame is 2; only DICOM files"):
        decode(png, frame=2)


def test_endoscopic_photos_are_read() -> None:
    assert_four_colours(decode(files.native(SOPClassUID=VLEndoscopicImageStorage, Modality="ES")).pixels)


REFUSED = [
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.3"}, "an intra-oral radiograph and not a colour photo"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3"}, "of SOP class 1.2.840.10008.5.1.4.1.1.481.3 and not a colour"),
    ({"SOPClassUID": "1.2.a"}, r"of SOP class \(none that is known\)"),
    ({"SOPClassUID": "19700101"}, r"of SOP class \(none that is known\)"),
    ({"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1}, "not a colour photo: .* MONOCHROME2"),
    ({"PhotometricInterpretation": None}, r"not a colour photo: .* \(none that is known\)"),
    ({"PhotometricInterpretation": "KIM MINSU"}, r"not a colour photo: .* \(none that is known\)"),
    ({"BitsAllocated": 16, "BitsStored": 16}, "16 bits a sample, stored in 16"),
    ({"BitsAllocated": 16, "BitsStored": 12}, "12 bits a sample, stored in 16"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("attributes", "message"), REFUSED)
def test_other_objects_are_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedPhoto, match=message):
        decode(files.native(**attributes))


def test_other_transfer_syntaxes_are_refused() -> None:
    with pytest.raises(UnsupportedPhoto, match=r"transfer syntax is 1\.2\.840\.10008\.1\.2\.4\.70; send it uncompr"):
        decode(files.written(files.dataset(), JPEGLosslessSV1, pixels=[b"\xff\xd8"]))
    with pytest.raises(UnsupportedPhoto, match="deflated"):
        decode(files.native(syntax=DeflatedExplicitVRLittleEndian))
    made = files.dataset(SamplesPerPixel=1, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(UnsupportedPhoto, match="palette indices are in a JPEG"):
        decode(files.written(made, JPEGBaseline8Bit, pixels=[b"\xff\xd8"]))


def test_a_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = files.compressed(JPEGLSLossless, NOISE)
    monkeypatch.setattr(dicom, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedPhoto, match=r"install 'caries-screen\[dicom\]'"):
        decode(data)


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({"Rows": 0}, UnreadablePhoto, "64x0 pixels"),
        ({"Rows": 49}, UnreadablePhoto, "has 9216 bytes of pixels; 1 frames of 64x49 take 9408"),
        ({"Rows": 47}, UnreadablePhoto, "has 9216 bytes of pixels"),
        ({"Rows": 20_000, "Columns": 20_000}, PhotoTooLarge, "20000x20000"),
        ({"NumberOfFrames": 100_000}, PhotoTooLarge, "100000 pictures; at most 32"),
        ({"NumberOfFrames": "-1"}, UnreadablePhoto, "not a positive whole number"),
        ({"SamplesPerPixel": 4}, UnreadablePhoto, "4 samples a pixel, which RGB"),
    ],
)
def test_wrong_numbers(attributes: dict[str, Any], error: type[Exception], message: str) -> None:
    data = files.written(files.dataset(**attributes), pixels=four_colours().tobytes())
    with pytest.raises(error, match=message):
        decode(data)


def test_no_pixels() -> None:
    with pytest.raises(UnreadablePhoto, match="contains no pixels"):
        decode(files.written(files.dataset(), pixels=None))


def private_elements() -> Dataset:
    """A data set in which only private elements are."""
    made = Dataset()
    made.private_block(0x0009, "CLINIC", create=True).add_new(0x01, "LO", "Hong")
    return made


def encrypted(*, identified: bool) -> Dataset:
    """A data set in which all is encrypted (PS3.15, E.1), but for the identifiers of a photo if `identified`."""
    item = Dataset()
    item.EncryptedContentTransferSyntaxUID, item.EncryptedContent = ExplicitVRLittleEndian, b"Hong" * 64
    made = Dataset()
    if identified:
        made.SOPClassUID, made.SOPInstanceUID = VLPhotographicImageStorage, "1.2.3"
    made.EncryptedAttributesSequence = [item]
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (private_elements(), r"of SOP class \(none that is known\) and not a colour photo"),
        (encrypted(identified=False), r"of SOP class \(none that is known\) and not a colour photo"),
        (encrypted(identified=True), r"its photometric interpretation is \(none that is known\)$"),
    ],
)
def test_files_without_a_picture_are_refused(made: Dataset, message: str) -> None:
    with pytest.raises(UnsupportedPhoto, match=message) as raised:
        decode(files.written(made, pixels=None))
    assert "Hong" not in str(raised.value)


@pytest.mark.parametrize("write", [files.native, files.jpeg])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.95])
def test_truncated_files_are_refused(write: Any, share: float) -> None:
    data = write()
    with pytest.raises((UnreadablePhoto, UnsupportedPhoto)):
        decode(data[: int(len(data) * share)])


@pytest.mark.slow
@pytest.mark.parametrize("syntax", COMPRESSED)
def test_damaged_codestreams_are_refused(monkeypatch: pytest.MonkeyPatch, syntax: str) -> None:
    monkeypatch.setattr(separate, "CPU_S", 3)  # CharLS never ends on some
    data = files.compressed(syntax, NOISE)
    codestream = {JPEG2000Lossless: files.jpeg_2000, JPEGLSLossless: files.jpeg_ls, RLELossless: files.rle}[syntax](
        NOISE
    )
    made = files.dataset(Rows=75, Columns=100)
    for broken in (codestream[: len(codestream) // 3], b"\0" * 64, codestream[::-1]):
        with pytest.raises((UnreadablePhoto, PhotoTooLarge)):
            decode(files.written(made, syntax, pixels=[broken]))
    with pytest.raises(UnreadablePhoto, match="damaged"):
        decode(files.written(files.dataset(Rows=75, Columns=99), syntax, pixels=[codestream]))
    assert decode(data, Limits(max_pixels=7500)).width == 100


def test_photos_are_read_without_pydicom(tmp_path: Path) -> None:
    """The server imports it for answers in DICOM alone: it takes half a second and 60 MB."""
    path = tmp_path / "photo.dcm"
    path.write_bytes(files.jpeg())
    code = (
        "import sys, pathlib, app.api.application, app.cli\n"
        "from app.photo.decoding import decode\n"
        f"assert decode(pathlib.Path({str(path)!r}).read_bytes()).width == 64\n"
        "assert not {'pydicom', 'pynetdicom', 'jpeg_ls'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_encrypted_files_are_no_pictures() -> None:
    """A secure DICOM file is an envelope of CMS (PS3.10, 7.4)."""
    with pytest.raises(UnsupportedPhoto, match="not a known picture format"):
        decode(b"\x30\x82\x10\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03" + bytes(4096))
