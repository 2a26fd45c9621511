"""What a photo may be at most."""

from dataclasses import dataclass

from app.errors import PhotoTooLarge, UnreadablePhoto
from app.photo.formats import PhotoFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one photo. All but the bytes are read from its header, before a pixel is decoded.

    Attributes:
        max_bytes: as sent. A 48-megapixel phone JPEG is 10 to 20 MiB.
        max_pixels: width times height. Decoding takes up to 12 bytes a pixel, of most photos 3 to 7.
        max_side: pixels of width and of height; an answer as WebP, legend included, cannot have more than 16,383.
        max_frames: pictures of an animated PNG or WebP, a HEIC collection or a DICOM file, of which one is screened.
            Further pictures behind that of a JPEG, such as a phone's depth map, are ignored.
        formats: that are accepted.
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 64_000_000
    max_side: int = 15_000
    max_frames: int = 32
    formats: tuple[PhotoFormat, ...] = tuple(PhotoFormat)

    @property
    def accepted(self) -> str:
        """The formats as a sentence names them."""
        names = [each.label for each in PhotoFormat if each in self.formats]
        return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

    def check_size(self, width: int, height: int) -> None:
        """Raises PhotoTooLarge, or UnreadablePhoto for no pixels."""
        if width < 1 or height < 1:
            raise UnreadablePhoto(f"the photo's header says {width}x{height} pixels; at least 1x1 is needed")
        if width * height > self.max_pixels:
            raise PhotoTooLarge(f"the photo has {width}x{height} pixels; at most {self.max_pixels} in all are accepted")
        if max(width, height) > self.max_side:
            raise PhotoTooLarge(f"the photo has {width}x{height} pixels; at most {self.max_side} a side are accepted")

    def check_frames(self, frames: int) -> None:
        """Raises PhotoTooLarge."""
        if frames > self.max_frames:
            raise PhotoTooLarge(f"the file contains {frames} pictures; at most {self.max_frames} are accepted")


DEFAULT_LIMITS = Limits()
