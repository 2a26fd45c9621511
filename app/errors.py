"""Every error that the service raises on purpose.

CariesError
 ├── PhotoError                 the photo is at fault: the sender can mend it
 │    ├── UnreadablePhoto       the bytes are not a whole picture
 │    ├── UnsupportedPhoto      the bytes are of a kind that is not accepted
 │    └── PhotoTooLarge         more bytes or pixels than the limits allow
 │         └── PhotoTooCostly   decoding takes more time than there is for a photo
 ├── BadArchive                 a zip archive of photos cannot be taken apart
 ├── BatchTooLarge              more photos or bytes in one request than the limits allow
 ├── BundleError                a bundle is missing, incomplete, altered or of another format version
 │    └── UnknownModel          no model of that name or version is in the store
 ├── ReloadRefused              another bundle cannot take the place of the live one
 ├── ReloadRunning              only one reload runs at a time
 ├── RuntimeUnavailable         the runtime that was asked for cannot run here
 ├── WorkerDied                 the process that ran the detector ended, by a crash or from outside
 ├── Overloaded                 the queue is full: try again
 ├── DeadlineExceeded           the answer would have come too late
 ├── AuditError                 the audit log cannot be written or read
 ├── KeysError                  the file of API keys cannot be used, or does not hold what was asked for
 └── SettingsError              a setting has a value that is not allowed

Messages are one sentence: what was wrong, which value, what is allowed. They never hold a file name that a client sent.
"""

from __future__ import annotations


class CariesError(Exception):
    """Base of every deliberate error."""


class PhotoError(CariesError):
    """The photo cannot be screened as it was sent."""


class UnreadablePhoto(PhotoError):
    """The bytes are damaged, truncated or empty."""


class UnsupportedPhoto(PhotoError):
    """The bytes are not one of the accepted picture formats."""


class PhotoTooLarge(PhotoError):
    """The photo has more bytes or pixels than the limits allow."""


class PhotoTooCostly(PhotoTooLarge):
    """Decoding the photo takes more time than there is for one."""


class BadArchive(CariesError):
    """A zip archive of photos is damaged, empty, or not of a kind that is read."""


class BatchTooLarge(CariesError):
    """The photos of one request are too many, or have too many bytes together."""


class BundleError(CariesError):
    """A bundle is missing, incomplete, altered or of another format version."""


class UnknownModel(BundleError):
    """No model of that name or version is in the store."""


class ReloadRefused(CariesError):
    """Another bundle cannot take the place of the live one, with the reason."""


class ReloadRunning(CariesError):
    """A reload was asked for while another one runs."""


class RuntimeUnavailable(CariesError):
    """The runtime that was asked for cannot run here, with the reason."""


class WorkerDied(CariesError):
    """The process that ran the detector ended before it had answered."""


class Overloaded(CariesError):
    """The queue is full."""


class DeadlineExceeded(CariesError):
    """The photo waited longer than its deadline."""


class AuditError(CariesError):
    """The audit log cannot be written or read."""


class KeysError(CariesError):
    """The file of API keys cannot be used, or does not hold what was asked for."""


class SettingsError(CariesError):
    """A setting has a value that is not allowed."""
