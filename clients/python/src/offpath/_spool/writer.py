"""The segments of one writer, one open at a time.

open → append … append → rotate (end frame, close) → the next append opens the next
                  └ failed write → sealed: never truncated, never appended to; the frame goes
                    to the next segment, or is lost and counted
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, time_ns
from typing import Any
from zlib import crc32

from .format import (
    END_HEAD,
    FLAG_CRC,
    FRAME_BYTES,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    FRAME_HEAD_CRC_BYTES,
    FRAME_MAGIC,
    KIND_END,
    KIND_JSON,
    LOSS_REASONS,
    LOSSES,
    MAX_PAYLOAD_BYTES,
    WORD,
)
from .header import encode_header, process_identity
from .segment import FileSegment, MappedSegment, Mappings, Segment, rewrite_losses
from .tiers import SegmentFile, SpoolFullError, SpoolUnsafeError, Tier, create_segment_file

#: A write to disk that took longer opens the breaker.
_SLOW_WRITE_S = 0.020
_BREAKER_S = 1.0
#: After no tier could be opened, how long frames are lost before the next try.
_REOPEN_S = 0.1
_pack_head = FRAME_HEAD.pack_into
#: Where the text begins in a frame.
_TEXT_AT = FRAME_HEAD.size
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Room that a header needs at the most, and an end frame.
_RESERVED_BYTES = 65_536 + FRAME_BYTES


class SpoolWriter:
    """Not for several threads at once: its user sees to that (see Recorder)."""

    def __init__(
        self,
        tiers: Sequence[Tier],
        describe: Callable[[], Mapping[str, Any]],
        warn: Callable[[str, str], None],
    ) -> None:
        """`describe`: service, environment, release, sdk, language and resource, for the headers."""
        self.id = secrets.token_hex(8)
        #: Counts up with each segment: strings are numbered anew in each.
        self.generation = 0
        #: Observations lost since the writer began, by reason.
        self.losses: dict[str, int] = dict.fromkeys(LOSS_REASONS, 0)
        self.lost = 0
        self.last_loss = "no_spool"
        self.bytes_written = 0
        self._tiers = tiers
        self._describe = describe
        self._warn = warn
        self._segment: Segment | None = None
        self._mappings = Mappings()
        self._nonce = b""
        self._nonce_word = 0
        self._flags = 0
        self._sequence = 0
        self._number = 0
        self._directory = ""
        self._previous: dict[str, int] | None = None
        self._path = ""
        #: Observations started up to the end of the last frame.
        self._started = 0
        self._identity: dict[str, Any] | None = None
        self._slow_until = 0.0
        self._reopen_at = 0.0
        self._ever_opened = False

    @property
    def place(self) -> tuple[str, int, int] | None:
        """Directory, segment and offset of the next byte."""
        if self._segment is not None:
            return self._directory, self._number, self._segment.length
        if self._previous is None:
            return None
        return self._directory, self._previous["segment"], self._previous["length"]

    @property
    def directory(self) -> str:
        return self._directory or self._tiers[0].directory

    def count_lost(self, reason: str, observations: int) -> None:
        """Counts observations that no frame will bring."""
        self.last_loss = reason
        self.losses[reason] += observations
        self.lost += observations

    def append_text(self, data: bytes, started: int) -> bool:
        """`append` for JSON text alone, of a multiple of four bytes: the hot path, in one piece."""
        segment = self._segment
        length = len(data)
        if type(segment) is not MappedSegment:
            return self.append(KIND_JSON, length, (data,), 4 + length, started)
        at = segment.length
        end = at + _TEXT_AT + length
        if end + 2 * FRAME_BYTES > segment.capacity:
            return False
        memory = segment.memory
        size = 4 + length
        _pack_head(
            memory,
            at,
            FRAME_MAGIC,
            self._nonce,
            size,
            self._sequence,
            KIND_JSON,
            started,
            self.lost,
            0,
            length,
        )
        memory[at + _TEXT_AT : end] = data
        # See MappedSegment.put.
        segment.words[end >> 2] = size ^ self._nonce_word
        segment.length = end + 4
        self._started = started
        self._sequence += 1
        self.bytes_written += size + FRAME_BYTES
        return True

    def append(self, kind: int, first: int, pieces: Sequence[bytes], size: int, started: int) -> bool:
        """Writes a frame into the open segment. Its payload of `size` bytes is a first word and the pieces.

        False when it must go into another segment (see `renew`): there is none, no room is left, or the write failed.
        """
        segment = self._segment
        if segment is None or segment.capacity - segment.length < size + 2 * FRAME_BYTES:
            return False
        flags = self._flags
        head = (FRAME_MAGIC, self._nonce, size, self._sequence, kind | flags, started, self.lost, 0, first)
        whole = segment.length + size + FRAME_BYTES
        try:
            if flags:
                if not self._put_checked(segment, head, pieces, size):
                    return False
            else:
                segment.put(head, pieces, size ^ self._nonce_word)
        except (OSError, ValueError) as error:
            self._failed(error)
            return False
        finally:
            # Also when a signal's handler raised behind the frame. No call: nothing comes in between.
            if segment.length == whole:
                self._started = started
                self._sequence += 1
                self.bytes_written += size + FRAME_BYTES
        return True

    def _put_checked(
        self, segment: Segment, head: tuple[Any, ...], pieces: Sequence[bytes], size: int
    ) -> bool:
        """On disk: with a CRC, and given up for a second when the disk is slow."""
        before = monotonic()
        if before < self._slow_until:
            self.last_loss = "slow_disk"
            return False
        fixed = FRAME_HEAD.pack(*head)
        crc = crc32(fixed[FRAME_HEAD_BYTES:], crc32(fixed[:FRAME_HEAD_CRC_BYTES]))
        for piece in pieces:
            crc = crc32(piece, crc)
        segment.put((*head[:7], crc, head[8]), pieces, size ^ self._nonce_word)
        after = monotonic()
        if after - before > _SLOW_WRITE_S:
            self._slow_until = after + _BREAKER_S
        return True

    def renew(self, payload_bytes: int) -> bool:
        """Opens the next segment, with room for a frame. False: none can be opened; `last_loss` says why."""
        now = monotonic()
        if now < self._slow_until and self._segment is not None:
            self.last_loss = "slow_disk"
            return False
        if now < self._reopen_at:
            return False
        if payload_bytes > MAX_PAYLOAD_BYTES:
            self.last_loss = "too_large"
            return False
        # The observation that this frame may start is not in the segment that ends.
        self.close(self._started)
        for tier in self._tiers:
            if self._open(tier, payload_bytes + FRAME_BYTES + _RESERVED_BYTES):
                return True
        self._reopen_at = now + _REOPEN_S
        return False

    def _open(self, tier: Tier, least_bytes: int) -> bool:
        number = (self._previous["segment"] if self._previous else 0) + 1
        nonce = secrets.token_bytes(8)
        file: SegmentFile | None = None
        try:
            if self._identity is None:
                self._identity = process_identity()
            file = create_segment_file(tier, f"{self.id}-{number:08d}.seg", least_bytes)
            segment: Segment = MappedSegment(file, self._mappings) if tier.is_memory else FileSegment(file)
            facts = {
                "writer": self.id,
                "segment": number,
                "previous": self._previous,
                **self._identity,
                "thread": 0,
                # No thread keeps a promise here: the relay goes by the process.
                "heartbeatSeconds": 0,
                **self._describe(),
                "startTime": str(time_ns()),
                "recycled": tier.is_memory or file.recycled,
            }
            segment.put_bytes(encode_header(facts, nonce, self._loss_block()))
            file.publish()
        except (OSError, ValueError) as error:
            # Without a header it is no segment: its number is used again.
            if file is not None:
                file.remove()
            self._directory = tier.directory
            self._failed(error)
            return False
        except BaseException:
            # A signal's handler that raises, in the middle of it. A reader may have seen the file: its number is gone.
            if file is not None:
                file.remove()
            self._previous = {"segment": number, "length": 0}
            raise
        self._segment = segment
        self._nonce = nonce
        self._nonce_word = int.from_bytes(nonce[:4], "little")
        self._flags = FLAG_CRC if tier.disk else 0
        self._sequence = 0
        self._number = number
        self._directory = tier.directory
        self._path = file.target
        self._ever_opened = True
        self.generation += 1
        return True

    def _failed(self, error: Exception) -> None:
        code = getattr(error, "errno", None)
        if isinstance(error, SpoolFullError) or code in _NO_SPACE:
            self.last_loss = "spool_full"
        else:
            self.last_loss = "write_failed" if self._ever_opened else "no_spool"
        self._leave()
        kind = (
            "OFFPATH_SPOOL_FULL"
            if isinstance(error, SpoolFullError)
            else "OFFPATH_SPOOL_UNSAFE"
            if isinstance(error, SpoolUnsafeError)
            else "OFFPATH_SPOOL_UNUSABLE"
        )
        self._warn(f"cannot write to the spool {self._directory}: {error}", kind)

    def _leave(self) -> None:
        """The open segment gets nothing more."""
        segment = self._segment
        if segment is None:
            return
        self._segment = None
        self._previous = {"segment": self._number, "length": segment.length}
        segment.close()

    def _loss_block(self) -> bytes:
        counts = [self.losses[reason] for reason in LOSS_REASONS]
        return LOSSES.pack(*counts, *([0] * (12 - len(counts))))

    def save_losses(self) -> None:
        """Losses since the last frame, where a reader finds them even if no frame follows."""
        try:
            if self._segment is not None:
                self._segment.put_losses(self._loss_block())
            elif self._path:
                rewrite_losses(self._path, self._loss_block())
        except (OSError, ValueError):
            # The relay has deleted it, or it can't be written to: the counts go into the next segment.
            pass

    def is_named(self) -> bool:
        """False when the open segment has lost its name; it is left, and what follows opens a new one."""
        if self._segment is None:
            return True
        try:
            if self._segment.is_named():
                return True
        except OSError:
            pass
        self._leave()
        return False

    def lease_time(self) -> float:
        """When a relay last said that it reads the directory, by that file's clock; 0: never."""
        try:
            return os.stat(os.path.join(self.directory, "relay.lease")).st_mtime
        except OSError:
            return 0.0

    def seal(self) -> None:
        """After a frame that was broken off: nothing is written behind it."""
        self._leave()

    def close(self, started: int) -> None:
        """Ends the open segment; a later append opens the next."""
        segment = self._segment
        if segment is None:
            return
        head = END_HEAD.pack(
            FRAME_MAGIC, self._nonce, 0, self._sequence, KIND_END | self._flags, started, self.lost, 0
        )
        if self._flags:
            checked = head[:FRAME_HEAD_CRC_BYTES]
            head = checked + WORD.pack(crc32(checked))
        # A segment without an end frame is read to its end all the same.
        with contextlib.suppress(OSError, ValueError):
            segment.put_bytes(head + WORD.pack(self._nonce_word))
        self._leave()

    def abandon(self) -> None:
        """After a fork: the segment is the parent's. It is let go, untouched."""
        segment = self._segment
        self._segment = None
        if segment is not None:
            segment.close()
        self._mappings.close()
