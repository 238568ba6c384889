"""What can go wrong. Each message names the file or tensor and what to do about it."""


class BitSnapError(Exception):
    """Any failure reported by BitSnap."""


class InvalidArgument(BitSnapError, ValueError):
    """The caller asked for something that cannot be done."""


class NotFound(BitSnapError, FileNotFoundError):
    """No such store, step, rank or tensor."""


class AlreadyExists(BitSnapError, FileExistsError):
    """The step is there already and overwriting was not asked for."""


class Corrupt(BitSnapError):
    """Bytes that do not match their checksum or break the format."""


class Truncated(Corrupt):
    """A file that ends before its format says so."""


class UnsupportedVersion(BitSnapError):
    """Written by a newer BitSnap than this one, or by a pre-release."""


class MissingBase(BitSnapError):
    """A delta whose base is gone or was replaced."""


class IoFailed(BitSnapError, OSError):
    """The system refused to read or write."""


class OutOfSpace(IoFailed):
    """The disk or quota is full."""


class DurabilityUnknown(IoFailed):
    """Written and in place, but the disk did not confirm that it keeps it through a power cut."""


class Cancelled(BitSnapError):
    """The progress callback returned False."""


class Busy(BitSnapError):
    """Earlier saves still fill the memory for copies, and on_busy="error" was asked for."""
