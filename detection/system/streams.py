"""Output that never stops a run: nobody may read it, and its encoding may lack a letter."""

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class _Lasting(io.FileIO):
    """Writes to a descriptor; what cannot be written is lost, for there is no place to say so."""

    def write(self, content: Any) -> int:
        """Write, and say that it was written."""
        try:
            return super().write(content)
        except BlockingIOError:
            raise
        except BrokenPipeError:  # `| head` has seen enough, and every line after this one would fail too
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
        except OSError:  # a terminal that was closed, a full disk behind a log
            pass
        return memoryview(content).nbytes


def make_output_last() -> None:
    """Let standard output and error outlive their readers, and write letters that they lack as escapes."""
    sys.stdout = _lasting(sys.stdout)
    sys.stderr = _lasting(sys.stderr)


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed, as by >&-
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):  # a notebook's, or a test's
        return stream
    buffer: Any = stream.buffer
    is_unbuffered = isinstance(buffer, io.FileIO)  # python -u
    if not is_unbuffered and not isinstance(getattr(buffer, "raw", None), io.FileIO):
        return stream
    with suppress(OSError):
        stream.flush()
    lasting = _Lasting(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        lasting if is_unbuffered else io.BufferedWriter(lasting),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
