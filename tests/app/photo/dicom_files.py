"""DICOM files of known colours, written by pydicom."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    VLPhotographicImageStorage,
)

from tests.app.photo.pictures import four_colours, saved

JPEG_OPTIONS = {"quality": 95, "subsampling": 0}


def dataset(**attributes: Any) -> Dataset:
    """A photo of 64x48 pixels without pixels: patient, study, series and image."""
    made = Dataset()
    given = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": VLPhotographicImageStorage,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1.3",
        "StudyDate": "20261130",
        "StudyTime": "101500",
        "AccessionNumber": "A17",
        "Modality": "XC",
        "Manufacturer": "Camera maker",
        "ReferringPhysicianName": "",
        "PatientName": "Hong^Gildong",
        "PatientID": "P-0017",
        "PatientBirthDate": "19700101",
        "PatientSex": "M",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.1.2",
        "StudyID": "S1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": 48,
        "Columns": 64,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        **attributes,
    }
    for keyword, value in given.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def written(
    made: Dataset, syntax: str = ExplicitVRLittleEndian, *, pixels: bytes | list[bytes] | None = b"", vr: str = "OB"
) -> bytes:
    """The file of a data set: with native pixels (bytes), with frames (a list of codestreams), or without (None)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.get("SOPClassUID", SecondaryCaptureImageStorage)
    meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID", "1.2.3")
    meta.TransferSyntaxUID = syntax
    made.file_meta = meta
    if pixels is not None:
        stored = encapsulate(pixels) if isinstance(pixels, list) else pixels + bytes(len(pixels) % 2)
        made.add_new(0x7FE00010, vr, stored)
        made["PixelData"].is_undefined_length = isinstance(pixels, list)
    out = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != "1.2.840.10008.1.2.2"
    made.save_as(out, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return out.getvalue()


def native(picture: np.ndarray | None = None, syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    """An uncompressed RGB photo, by default of four colours."""
    picture = four_colours() if picture is None else picture
    height, width, _ = picture.shape
    return written(dataset(Rows=height, Columns=width, **attributes), syntax, pixels=picture.tobytes())


def jpeg(picture: Image.Image | None = None, **attributes: Any) -> bytes:
    """A photo in JPEG baseline, by default of four colours."""
    picture = Image.fromarray(four_colours()) if picture is None else picture
    codestream = saved(picture, "JPEG", **JPEG_OPTIONS)
    given = {"PhotometricInterpretation": "YBR_FULL", "Rows": picture.height, "Columns": picture.width, **attributes}
    return written(dataset(**given), JPEGBaseline8Bit, pixels=[codestream])


def jpeg_2000(picture: np.ndarray, **options: Any) -> bytes:
    """A codestream of JPEG 2000."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG2000", no_jp2=True, **options)
    return out.getvalue()


def jpeg_ls(picture: np.ndarray, interleave_mode: int = 2) -> bytes:
    """A codestream of JPEG-LS."""
    import jpeg_ls as library

    return bytes(library.encode_array(np.ascontiguousarray(picture), interleave_mode=interleave_mode))


def rle(picture: np.ndarray) -> bytes:
    """A frame in RLE, by pydicom's encoder."""
    from pydicom.pixels.encoders import RLELosslessEncoder

    height, width, *samples = picture.shape
    return RLELosslessEncoder.encode(
        picture.tobytes(),
        rows=height,
        columns=width,
        samples_per_pixel=samples[0] if samples else 1,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        photometric_interpretation="RGB" if samples else "PALETTE COLOR",
        planar_configuration=0,
        number_of_frames=1,
        byteorder="<",
    )


def frames(pictures: list[np.ndarray], **attributes: Any) -> bytes:
    """A multi-frame Secondary Capture in JPEG baseline."""
    codestreams = [saved(Image.fromarray(picture), "JPEG", **JPEG_OPTIONS) for picture in pictures]
    height, width, _ = pictures[0].shape
    made = dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4",
        PhotometricInterpretation="YBR_FULL",
        NumberOfFrames=len(pictures),
        Rows=height,
        Columns=width,
        **attributes,
    )
    return written(made, JPEGBaseline8Bit, pixels=codestreams)


PALETTE_INDICES = np.repeat(np.repeat(np.array([[10, 11], [12, 13]], np.uint8), 24, 0), 32, 1)


def palette(bits: int, syntax: str = ExplicitVRLittleEndian, codestream: bool = False) -> bytes:
    """Four colours by a palette that begins at 10, in 16 bits or in 8."""
    from tests.app.photo.pictures import BLUE, GREEN, GREY, RED

    made = dataset(SamplesPerPixel=1, PhotometricInterpretation="PALETTE COLOR", PlanarConfiguration=None)
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    for name, channel in (("Red", 0), ("Green", 1), ("Blue", 2)):
        values = np.array([colour[channel] for colour in (RED, GREEN, GREY, BLUE)], np.uint16)
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [4, 10, bits])
        stored = (values * 257).astype(f"{order}u2") if bits == 16 else values.astype(np.uint8)
        if bits == 8 and order == ">":
            stored = stored.view(np.uint16).byteswap().view(np.uint8)
        made.add_new(0x00281201 + channel, "OW", stored.tobytes())
    if codestream:
        return written(made, RLELossless, pixels=[rle(PALETTE_INDICES)])
    return written(made, syntax, pixels=PALETTE_INDICES.tobytes())


def compressed(syntax: str, picture: np.ndarray) -> bytes:
    """A photo without loss in JPEG 2000, JPEG-LS or RLE."""
    height, width, _ = picture.shape
    encoders = {JPEG2000Lossless: jpeg_2000, JPEGLSLossless: jpeg_ls, RLELossless: rle}
    photometric = "YBR_RCT" if syntax == JPEG2000Lossless else "RGB"
    made = dataset(PhotometricInterpretation=photometric, Rows=height, Columns=width)
    return written(made, syntax, pixels=[encoders[syntax](picture)])  # type: ignore[index,operator]
