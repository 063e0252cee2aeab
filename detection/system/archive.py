"""Whether a checkpoint is, byte for byte, what was written: torch does not look.

torch writes a zip archive, whose directory holds a check sum of each record, and never compares it. Ours are
sealed in addition: the archive's comment is the SHA-256 of all that precedes it, so that no byte at all can
change.
"""

import hashlib
import re
import struct
import zipfile
from io import BytesIO
from typing import BinaryIO

_END = struct.Struct("<4s4H2LH")  # how a zip archive ends; then a comment follows
_END_MARK = b"PK\x05\x06"
_SEAL = re.compile(rb"sha256:[0-9a-f]{64}")
_SEAL_LENGTH = 71
_CHUNK = 2**20
_MAX_PICKLE = 64 * 2**20  # of the record that holds all but the tensors


def is_archive(file: BinaryIO) -> bool:
    """Whether a file begins as a zip archive does, what torch has written since 1.6."""
    file.seek(0)
    return file.read(4) == b"PK\x03\x04"


def seal(content: BytesIO) -> None:
    """Put the digest of an archive that torch has just written into its comment.

    Args:
        content: the archive, without a comment; it grows by the seal.
    """
    start = content.getbuffer().nbytes - _END.size
    content.seek(start + _END.size - 2)
    content.write(struct.pack("<H", _SEAL_LENGTH))
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    content.write(f"sha256:{digest}".encode())


def verify(file: BinaryIO) -> None:
    """Compare an archive with its seal, or else each of its records with its check sum.

    Args:
        file: an archive that torch wrote; afterwards it is at its beginning.

    Raises:
        ValueError: the file is not what was written; the message says in what.
    """
    length = file.seek(0, 2)
    comment = _read_comment(file, length)
    if comment:
        _compare_seal(file, length, comment)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_records(archive, length, sums=not comment)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OverflowError, RuntimeError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    file.seek(0)


def _read_comment(file: BinaryIO, length: int) -> bytes:
    """The comment, of which the end of the file leaves no choice: an archive ends with it or without one."""
    for comment_length in (0, _SEAL_LENGTH):
        start = length - comment_length - _END.size
        if start < 0:
            continue
        file.seek(start)
        end = _END.unpack(file.read(_END.size))
        if end[0] == _END_MARK and end[-1] == comment_length:
            return file.read(comment_length)
    raise ValueError("it is damaged: it does not end as it was written (cut off, or something was added)")


def _compare_seal(file: BinaryIO, length: int, comment: bytes) -> None:
    if not _SEAL.fullmatch(comment):
        raise ValueError("it is damaged: its seal is not what was written")
    digest, left = hashlib.sha256(), length - len(comment)
    file.seek(0)
    while left:
        chunk = file.read(min(left, _CHUNK))
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest() != comment.removeprefix(b"sha256:").decode():
        raise ValueError("it is damaged: its bytes are not those that were written")


def _check_records(archive: zipfile.ZipFile, length: int, sums: bool) -> None:
    records = archive.infolist()
    # torch can be told to leave out the sums; then all are missing. A single one would be damage.
    has_sums = any(record.CRC for record in records)
    stored = 0
    for record in records:
        stored += record.file_size
        # torch stores as it is; a small file could unpack to any size.
        if record.compress_type != zipfile.ZIP_STORED or stored > length:
            raise ValueError(f"{record.filename} is compressed, which torch never does")
        if record.filename.endswith("data.pkl") and record.file_size > _MAX_PICKLE:
            raise ValueError(f"its description is larger than {_MAX_PICKLE // 2**20} MiB")
    if sums and has_sums and (name := archive.testzip()) is not None:
        raise ValueError(f"it is damaged: the bytes of {name} are not those that were written")
