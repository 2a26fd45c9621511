"""Every deliberate error of the package.

CariesError
  + PhotoError
    + UnreadablePhoto
    + UnsupportedPhoto
      + SeveralFrames
    + PhotoTooLarge
      + PhotoTooCostly
  + RequestError
    + BadForm
    + BadArchive
    + BatchTooLarge
    + UnsupportedMediaType
    + NotAcceptable
    + InvalidParameter
    + UploadTooSlow
    + KeyNeeded
    + RoleNeeded
    + ForeignPage
    + ForgedRequest
    + HttpsNeeded
    + TooManyRequests
    + ReloadRefused
    + ReloadRunning
    + UnknownPhoto
    + ReviewConflict
    + ReadingClosed
  + ServerError
    + NotReady
    + ShuttingDown
    + Overloaded
    + DeadlineExceeded
    + RuntimeUnavailable
    + WorkerDied
    + AuditError
    + ReviewStoreError
    + LabelStudioError
    + BundleError
      + UnknownModel
  + OperatorError
    + SettingsError
    + KeysError
    + OutputError
    + ArchiveError
    + ClusterError

A message is one sentence: what was wrong, which value, what is allowed. It never contains a client's file name.
"""


class CariesError(Exception):
    """Base of every deliberate error."""


class PhotoError(CariesError):
    """The photo cannot be screened as sent."""


class UnreadablePhoto(PhotoError):
    """The bytes are damaged, truncated or empty."""


class UnsupportedPhoto(PhotoError):
    """The bytes are not in an accepted picture format."""


class SeveralFrames(UnsupportedPhoto):
    """A DICOM file has this number of frames, and none of them is named."""

    def __init__(self, message: str, frames: int = 2) -> None:
        super().__init__(message)
        self.frames = frames


class PhotoTooLarge(PhotoError):
    """The photo has more bytes or pixels than the limits allow."""


class PhotoTooCostly(PhotoTooLarge):
    """Decoding takes longer than a photo may take."""


class RequestError(CariesError):
    """The request is refused; the client has to change it or wait."""


class BadForm(RequestError):
    """The multipart form is malformed, or does not contain the expected photos."""


class BadArchive(RequestError):
    """The zip archive is damaged, empty or of an unsupported kind."""


class BatchTooLarge(RequestError):
    """The request contains too many photos, or too many bytes."""


class UnsupportedMediaType(RequestError):
    """The body's Content-Type or Content-Encoding is not accepted."""


class NotAcceptable(RequestError):
    """No available format satisfies Accept."""


class InvalidParameter(RequestError):
    """A parameter is unknown, repeated or out of range."""


class UploadTooSlow(RequestError):
    """The body did not arrive in time."""


class KeyNeeded(RequestError):
    """The request has no valid API key."""


class RoleNeeded(RequestError):
    """The API key's role is not sufficient."""


class ForeignPage(RequestError):
    """A browser sent the request on behalf of another site's page, where no API key protects the server."""


class ForgedRequest(RequestError):
    """A session's cookie came with a request that this server's page did not send."""


class HttpsNeeded(RequestError):
    """A sign-in over plain HTTP from another machine."""


class TooManyRequests(RequestError):
    """The limit of requests per minute is exceeded; requests are accepted again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ReloadRefused(RequestError):
    """The requested bundle cannot replace the live one."""


class ReloadRunning(RequestError):
    """Another reload is running."""


class UnknownPhoto(RequestError):
    """The review store has no photo of this number."""


class ReviewConflict(RequestError):
    """The record changed since the client read it, or the photo's readings are not done."""


class ReadingClosed(RequestError):
    """Both blind readings are done, so neither can be changed."""


class ServerError(CariesError):
    """The server cannot do its part; the request may be fine."""


class NotReady(ServerError):
    """The detector is still loading, or could not be loaded."""


class ShuttingDown(ServerError):
    """The server accepts no more requests."""


class Overloaded(ServerError):
    """The queue is full."""


class DeadlineExceeded(ServerError):
    """The photo waited longer than its deadline."""


class RuntimeUnavailable(ServerError):
    """The requested runtime cannot run here."""


class WorkerDied(ServerError):
    """The detector's process ended before it answered."""


class AuditError(ServerError):
    """The audit log cannot be written or read."""


class ReviewStoreError(ServerError):
    """The review store cannot be read or written."""


class LabelStudioError(ServerError):
    """The configured Label Studio does not send a photo."""


class BundleError(ServerError):
    """A bundle is missing, incomplete, altered or of another format version."""


class UnknownModel(BundleError):
    """The store has no model of that name or version."""


class OperatorError(CariesError):
    """A command cannot run as the operator asked; never raised while a request is answered."""


class SettingsError(OperatorError):
    """A setting has an invalid value."""


class KeysError(OperatorError):
    """The file of API keys cannot be used, or lacks the requested key."""


class OutputError(OperatorError):
    """The results or the backup cannot be written."""


class ArchiveError(OperatorError):
    """An archive does not answer, or not as DICOMweb."""


class ClusterError(OperatorError):
    """The Ray cluster cannot be joined, or fails the work."""
