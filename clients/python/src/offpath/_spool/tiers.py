"""The directories that segments lie in: one in memory, one on disk."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from dataclasses import dataclass, field

MIN_SEGMENT_BYTES = 256 * 1024
MAX_SEGMENT_BYTES = 8 * 1024 * 1024
_SEGMENTS_PER_CAP = 32
#: Default cap of a memory-backed directory; half of what is free there if that is less.
_MEMORY_CAP_BYTES = 64 * 1024 * 1024
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


class SpoolUnsafeError(OSError):
    """A directory that others could write to, or that is none."""


class SpoolFullError(OSError):
    """The directory has reached its cap."""


@dataclass
class Tier:
    """One of the two directories a writer may open segments in."""

    directory: str
    #: Bytes all writers' segments may take; None: 64 MB or half of what is free.
    cap: int | None
    #: On disk: it outlives a power failure, so frames carry a CRC, and nothing is mapped.
    disk: bool
    _is_memory: bool | None = field(default=None, repr=False)

    @property
    def is_memory(self) -> bool:
        """Whether the directory lies in a tmpfs. Only there can space that was reserved not run out."""
        if self._is_memory is None:
            # A mapping is also written to in words, which are the machine's.
            self._is_memory = (
                not self.disk
                and sys.byteorder == "little"
                and _file_system(self.directory) in ("tmpfs", "ramfs")
            )
        return self._is_memory


@dataclass(frozen=True)
class SegmentFile:
    fd: int
    #: Where it is until it has a header.
    path: str
    #: Where it belongs then; the same as `path` for a file on disk.
    target: str
    #: It was handed back by a relay and still holds the frames of another segment.
    recycled: bool
    #: The segment is rotated when it has grown to this.
    rotate_at: int

    def publish(self) -> None:
        """A file that now has its header gets its name."""
        if self.path != self.target:
            os.rename(self.path, self.target)

    def remove(self) -> None:
        close_quietly(self.fd)
        _unlink_quietly(self.path)


def create_segment_file(tier: Tier, name: str, least_bytes: int) -> SegmentFile:
    """Creates a segment file in the tier, or takes one over that a relay has handed back.

    `least_bytes`: what it must be able to hold. Raises SpoolUnsafeError when the directory can't be made private,
    SpoolFullError when its cap is reached, OSError for whatever else the system says.
    """
    directory = tier.directory
    private_directory(directory)
    names = os.listdir(directory)
    used = _used_bytes(directory, names)
    cap = tier.cap if tier.cap is not None else _default_cap(directory, used)
    share = max(MIN_SEGMENT_BYTES, cap // _SEGMENTS_PER_CAP)
    rotate_at = max(least_bytes, min(MAX_SEGMENT_BYTES, share, cap // 2)) & ~3
    target = os.path.join(directory, name)
    path = target
    if not tier.disk:
        # Mapped, a file has its length before it has a header: under its own name a reader would take it for none.
        path = f"{target}.claim"
        claimed = _take_free_file(directory, names, path)
        if claimed is not None:
            return SegmentFile(claimed, path, target, True, rotate_at)
    if cap <= 0 or used + rotate_at > cap:
        raise SpoolFullError(f"spool {directory} has reached its cap of {cap} bytes")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY | _CLOEXEC
    return SegmentFile(os.open(path, flags, 0o600), path, target, False, rotate_at)


def _take_free_file(directory: str, names: list[str], path: str) -> int | None:
    """Renaming decides between writers that want the same file."""
    for name in names:
        if not name.endswith(".free"):
            continue
        free = os.path.join(directory, name)
        try:
            if not _is_ours(os.lstat(free)):
                continue
            os.rename(free, path)
        except OSError:
            continue
        fd = -1
        with contextlib.suppress(OSError):
            # Not blocking: what was a file a moment ago may be a FIFO now.
            fd = os.open(path, os.O_RDWR | _NOFOLLOW | _NONBLOCK | _BINARY | _CLOEXEC)
            if _is_ours(os.fstat(fd)):
                return fd
        if fd >= 0:
            close_quietly(fd)
        _unlink_quietly(path)
    return None


def _is_ours(status: os.stat_result) -> bool:
    """A regular file of this user with one name."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == _uid(status.st_uid)


def _uid(otherwise: int) -> int:
    return os.getuid() if hasattr(os, "getuid") else otherwise


def private_directory(directory: str, what: str = "spool", others: int = 0o002) -> None:
    """Makes the directory, or checks that the one there is ours and that nobody else can write to it.

    `others`: the bits of its mode that must not be set. Raises SpoolUnsafeError, which calls it the `what` directory.
    """
    path = os.path.abspath(directory)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        _make_directory(path)
        status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise SpoolUnsafeError(f"{what} directory {directory} is not a directory (a link?)")
    if status.st_uid != _uid(status.st_uid):
        raise SpoolUnsafeError(
            f"{what} directory {directory} belongs to user {status.st_uid}, not to {_uid(0)}"
        )
    if status.st_mode & others and hasattr(os, "getuid"):
        mode = oct(stat.S_IMODE(status.st_mode))[2:]
        inner = os.path.join(path, "offpath")
        raise SpoolUnsafeError(
            f"{what} directory {directory} can be written to by {'all users' if status.st_mode & 0o002 else 'its group'} (mode {mode}): "
            f"name a directory in it, such as {inner}, or chmod 0700 it"
        )


def _make_directory(path: str) -> None:
    """With its parents, all of them private."""
    parent = os.path.dirname(path)
    if parent != path and not os.path.isdir(parent):
        _make_directory(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _default_cap(directory: str, used: int) -> int:
    if not hasattr(os, "statvfs"):
        return _MEMORY_CAP_BYTES
    status = os.statvfs(directory)
    return min(_MEMORY_CAP_BYTES, (status.f_frsize * status.f_bavail + used) // 2)


def _used_bytes(directory: str, names: list[str]) -> int:
    used = 0
    for name in names:
        if not name.endswith((".seg", ".free", ".claim")):
            continue
        with contextlib.suppress(OSError):
            # What a link leads to is not in the directory.
            status = os.lstat(os.path.join(directory, name))
            if stat.S_ISREG(status.st_mode):
                used += status.st_size
    return used


def _file_system(directory: str) -> str | None:
    """The type of the file system that holds a directory, where Linux says; else None."""
    try:
        device = os.stat(directory).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                # id, parent, major:minor, root, mount point, …, "-", type
                fields = line.split(" ")
                if fields[2] == wanted:
                    return fields[fields.index("-") + 1]
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    return None


def close_quietly(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


def _unlink_quietly(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
