"""The one way of a photo into the queue, whichever protocol brought it."""

from app.dicom import MANUFACTURER
from app.errors import PhotoTooLarge, UnreadablePhoto
from app.gateway.queue import Queue
from app.photo.dicom_file import read_structure
from app.photo.dicom_uids import check_kind

SOP_INSTANCE_UID, MANUFACTURER_TAG = 0x0008_0018, 0x0008_0070


def keep(queue: Queue, data: bytes, max_bytes: int) -> bool:
    """Keep a DICOM file to be screened; False for one that waits already or is an answer of this software.

    Raises:
        PhotoTooLarge: it has more than `max_bytes`, or too many elements.
        UnsupportedPhoto: it is of a kind that the server refuses: of another SOP class, not in colour, deflated.
        PhotoError: it is no DICOM file with a SOP Instance UID, or contradicts itself.
        OSError, sqlite3.Error: it cannot be kept.
    """
    if len(data) > max_bytes:
        raise PhotoTooLarge(f"a photo has {len(data)} bytes; at most {max_bytes} are accepted")
    file = read_structure(data)
    uid = file.text(SOP_INSTANCE_UID)
    if not uid:
        raise UnreadablePhoto("the DICOM file has no SOP Instance UID")
    if file.text(MANUFACTURER_TAG) == MANUFACTURER:
        return False
    check_kind(file)
    return queue.accept(uid, data)
