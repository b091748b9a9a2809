"""An open segment: where its next bytes go.

In memory a segment is mapped: a frame is a copy, without a system call, and without giving up the GIL (which another
thread may then keep for 5 ms). The file has its whole length from the start, reserved, for a write into a mapping
that has no page behind it would be the end of the process; what is behind the last frame is of an earlier use or
zeros, so its header says that it is recycled. On disk, and where there is no tmpfs, a frame is one `os.write`.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Sequence
from typing import Any, Protocol

from .format import FRAME_HEAD, HEADER_LOSSES, WORD
from .tiers import SegmentFile, close_quietly

_HEAD_BYTES = FRAME_HEAD.size
#: As many files as a relay hands back.
_MAX_KEPT = 4


class Segment(Protocol):
    """Bytes in the order in which they are put. `length`: how many so far; `capacity`: how many it may become."""

    length: int
    capacity: int

    def put(self, head: tuple[Any, ...], pieces: Sequence[bytes], footer: int) -> None:
        """A frame: what FRAME_HEAD packs, the payload behind its first word, the footer.

        Raises OSError; the segment is then to be left.
        """

    def put_bytes(self, data: bytes) -> None: ...

    def put_losses(self, block: bytes) -> None: ...

    def is_named(self) -> bool:
        """False when a reader or an operator has deleted the file."""

    def close(self) -> None: ...


class Mappings:
    """Maps files, and keeps the mappings of the last few that were left.

    A relay hands a file back when it has read it. To map its pages again, and to unmap them, costs as much as what is written
    into them; kept, they cost nothing.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        #: By the file's identity, the oldest first.
        self._kept: dict[tuple[int, int], tuple[mmap.mmap, int]] = {}

    def map(self, fd: int, length: int) -> mmap.mmap:
        status = os.fstat(fd)
        if status.st_blocks * 512 < length or status.st_size < length:
            # No page is missing afterwards: a full file system says so here.
            os.posix_fallocate(fd, 0, length)
        kept = self._kept.pop((status.st_dev, status.st_ino), None)
        if kept is not None:
            memory, own = kept
            close_quietly(own)
            if len(memory) == length:
                return memory
            memory.close()
        return mmap.mmap(fd, length, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))

    def keep(self, memory: mmap.mmap, fd: int) -> None:
        status = os.fstat(fd)
        self._kept[status.st_dev, status.st_ino] = (memory, fd)
        # What was deleted goes first: kept, its memory would not be free.
        for key, (_, other) in list(self._kept.items()):
            if os.fstat(other).st_nlink == 0 or len(self._kept) > _MAX_KEPT:
                self._close(*self._kept.pop(key))

    def close(self) -> None:
        while self._kept:
            self._close(*self._kept.popitem()[1])

    @staticmethod
    def _close(memory: mmap.mmap, fd: int) -> None:
        with contextlib.suppress(BufferError, ValueError):
            memory.close()
        close_quietly(fd)


class MappedSegment:
    __slots__ = ("_fd", "_mappings", "capacity", "length", "memory", "words")

    def __init__(self, file: SegmentFile, mappings: Mappings) -> None:
        self._fd = file.fd
        self._mappings = mappings
        self.capacity = file.rotate_at
        self.memory = mappings.map(file.fd, file.rotate_at)
        self.words = memoryview(self.memory).cast("I")
        self.length = 0

    def put(self, head: tuple[Any, ...], pieces: Sequence[bytes], footer: int) -> None:
        memory = self.memory
        at = self.length
        FRAME_HEAD.pack_into(memory, at, *head)
        at += _HEAD_BYTES
        for piece in pieces:
            end = at + len(piece)
            memory[at:end] = piece
            at = end
        # After the rest: a reader that sees it takes the frame for complete. A handler of signals that raises does so
        # at calls and jumps back: there is none between this and the return, so a complete frame is never overwritten.
        self.words[at >> 2] = footer
        self.length = at + 4

    def put_bytes(self, data: bytes) -> None:
        end = self.length + len(data)
        self.memory[self.length : end] = data
        self.length = end

    def put_losses(self, block: bytes) -> None:
        self.memory[HEADER_LOSSES : HEADER_LOSSES + len(block)] = block

    def is_named(self) -> bool:
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        self.words.release()
        self._mappings.keep(self.memory, self._fd)


class FileSegment:
    __slots__ = ("_fd", "capacity", "length")

    def __init__(self, file: SegmentFile) -> None:
        self._fd = file.fd
        self.capacity = file.rotate_at
        self.length = 0

    def put(self, head: tuple[Any, ...], pieces: Sequence[bytes], footer: int) -> None:
        self.put_bytes(b"".join((FRAME_HEAD.pack(*head), *pieces, WORD.pack(footer))))

    def put_bytes(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError:
            raise
        except BaseException:
            # A signal's handler that raises, before or behind the write.
            self.length = os.lseek(self._fd, 0, os.SEEK_CUR)
            raise
        if written != len(data):
            raise OSError(errno.ENOSPC, "a write was cut short")
        self.length += written

    def put_losses(self, block: bytes) -> None:
        os.pwrite(self._fd, block, HEADER_LOSSES)

    def is_named(self) -> bool:
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        close_quietly(self._fd)


def rewrite_losses(path: str, block: bytes) -> None:
    """Writes the loss block of a segment that is no longer open. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        os.lseek(fd, HEADER_LOSSES, os.SEEK_SET)
        os.write(fd, block)
    finally:
        close_quietly(fd)
