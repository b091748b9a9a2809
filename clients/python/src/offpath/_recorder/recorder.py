"""The hot path: each call makes one JSON record and copies it, as a frame, into the open segment.

No thread, no queue that anybody must drain, no lock held while a value is read. One caller at a time writes; who comes
while another does hands its record to that one and goes on:

    record ─▶ pending ─▶ whoever has the `_turn` writes all that is pending

So nobody ever waits, and code that runs in the middle of a write (a signal handler, a finaliser that ends an
observation) can record as well. The turn is an entry of a dict and no lock: to take it is one instruction, where a
signal handler that raises between a lock's `acquire` and what would release it leaves it taken for ever.
"""

from __future__ import annotations

import json
import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring as escape
from time import monotonic, monotonic_ns, perf_counter_ns
from typing import Any, TypeAlias

from .._spool.format import (
    BLOB_HEAD,
    BLOB_LAST,
    ENCODING_BYTES,
    KIND_BLOB,
    KIND_JSON,
)
from .._spool.tiers import Tier
from .._spool.writer import SpoolWriter
from .clock import Clock
from .strings import LARGE_CHARS, RecentStrings, encode_part
from .values import Encoding, Limits, PlainEncoding, to_utf8
from .vitals import ALL_TIMED, SAMPLE, Vitals

_VITALS_EVERY_NS = 1_000_000_000
_NO_VITALS = "OFFPATH_VITALS"
_NO_READER_S = 60.0
_MAX_LOST_ENDS = 10_000
#: Of one slice of a blob.
_SLICE_BYTES = 128 * 1024
#: Langfuse takes about a megabyte a request; a character may be three bytes.
_SCORE_LIMITS = Limits(chars=128 * 1024)
_SCORE = '{"record":"score"'
_PAD = (b"", b"\0\0\0", b"\0\0", b"\0")
_SPACES = (b"", b"   ", b"  ", b" ")

_PREFIXES = {
    name: f',"{name}":'
    for name in (
        "name",
        "input",
        "output",
        "metadata",
        "level",
        "status_message",
        "version",
        "environment",
        "model",
        "model_parameters",
        "usage_details",
        "cost_details",
        "completion_start_time",
        "prompt",
        "trace",
        "attributes",
        "status",
        "events",
        "project",
        "type",
    )
}


#: A record on its way: its text; observations that it starts, 0 or 1; span id and end time of one that it ends; its
#: long strings and bytes, None: it has none.
Item: TypeAlias = "tuple[str, int, tuple[str, int] | None, Encoding | None]"


class Recorder:
    def __init__(
        self,
        tiers: Sequence[Tier],
        describe: Callable[[], Mapping[str, Any]],
        warn: Callable[[str, str], None],
        limits: Limits | None = None,
        each_second: Callable[[], None] = lambda: None,
    ) -> None:
        """`each_second` is called once a second, while anything is recorded; it must neither raise nor block."""
        self._tiers = tiers
        self._describe = describe
        self._warn = warn
        self._limits = limits or Limits()
        self._also_each_second = each_second
        self.clock = Clock()
        self._begin()
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)

            def after_fork() -> None:
                recorder = this()
                if recorder is not None:
                    recorder._after_fork()

            os.register_at_fork(after_in_child=after_fork)

    def _begin(self) -> None:
        self._writer = SpoolWriter(self._tiers, self._describe, self._warn)
        self._turn: dict[int, None] = {0: None}
        self._pending: deque[Item] = deque()
        self._recent = RecentStrings()
        self.vitals = Vitals()
        self._until_timed = 0
        self._started = 0
        self._records = 0
        self._lost_ends: list[tuple[str, int]] = []
        self._lost_updates = 0
        self._lost_scores: dict[str, int] = {}
        self._untold_scores = False
        self._losses_recorded = 0
        self._is_loss_untold = False
        self._written_before = 0
        #: When vitals are due, by the monotonic clock.
        self._due_at = 0
        self._lease = 0.0
        self._lease_seen = monotonic()
        self._warned_no_reader = False
        #: What has begun before a fork is its parent's: the child's records begin with its own epoch.
        self.epoch = getattr(self, "epoch", 0) + 1

    def _after_fork(self) -> None:
        writer = self._writer
        self._begin()
        writer.abandon()

    # --- records ---

    def start(
        self,
        record: str,
        span_id: str,
        trace_id: str,
        parent_id: str | None,
        time: int,
        name: str,
        type_name: str,
        flags: str,
        fields: dict[str, Any],
        inherited: str,
    ) -> None:
        """Records that an observation has begun. `flags` and `inherited` are JSON members, with a comma before each."""
        self._until_timed -= 1
        began = perf_counter_ns() if self._until_timed < 0 else 0
        parent = "" if parent_id is None else f'","parent_span_id":"{parent_id}'
        self._record(
            f'{{"record":"{record}","span_id":"{span_id}","trace_id":"{trace_id}{parent}","start_time":"{time}",'
            f'"name":{escape(name)},"type":"{type_name}"{flags}{inherited}',
            1,
            fields,
        )
        if began:
            self._timed(began)

    def update(self, span_id: str, fields: dict[str, Any]) -> None:
        self._until_timed -= 1
        began = perf_counter_ns() if self._until_timed < 0 else 0
        self._record(f'{{"record":"update","span_id":"{span_id}"', 0, fields)
        if began:
            self._timed(began)

    def end(self, span_id: str, time: int) -> None:
        self._until_timed -= 1
        began = perf_counter_ns() if self._until_timed < 0 else 0
        self._put_text(f'{{"record":"end","span_id":"{span_id}","end_time":"{time}"}}', 0, (span_id, time))
        if began:
            self._timed(began)

    def score(self, fields: Mapping[str, Any]) -> None:
        """Records a score: fields of docs/json-records.md, those that are None left out."""
        encoding = PlainEncoding(self._recent, self._writer.generation, _SCORE_LIMITS)
        text = _SCORE
        for name, value in fields.items():
            if value is not None:
                text += f',"{name}":{encoding.value(value)}'
        self._put((text + "}", 0, None, None))

    def lose_score(self, reason: str) -> None:
        """Counts one that is not recorded."""
        self._lost_scores[reason] = self._lost_scores.get(reason, 0) + 1
        self._untold_scores = True
        self._is_loss_untold = True

    def _timed(self, began: int) -> None:
        calls = SAMPLE if self._records > ALL_TIMED else 1
        self._until_timed = calls - 1
        self.vitals.timed(began, calls)

    def _record(self, text: str, started: int, fields: dict[str, Any]) -> None:
        encoding: Encoding | None = None
        for name, value in fields.items():
            if type(value) is str and len(value) < LARGE_CHARS:
                text = f"{text}{_PREFIXES[name]}{escape(value)}"
            else:
                if encoding is None:
                    encoding = Encoding(self._recent, self._writer.generation, self._limits)
                text = f"{text}{_PREFIXES[name]}{encoding.value(value)}"
        if encoding is None:
            self._put_text(text + "}", started, None)
            return
        self._put((text + "}", started, None, encoding))
        if encoding.parts or encoding.refs:
            self._recent.remember(encoding.parts, encoding.refs, encoding.generation)

    # --- writing ---

    def _put_text(self, text: str, started: int, ended: tuple[str, int] | None) -> None:
        """`_put` for a record without long strings, when nothing else is to be done: the hot path, in one piece."""
        if self._pending or self._is_loss_untold or monotonic_ns() >= self._due_at:
            self._put((text, started, ended, None))
            return
        turn = self._turn
        writer = self._writer
        mine = written = False
        try:
            del turn[0]
            mine = True
            before = writer.bytes_written
            data = text.encode()
            if len(data) & 3:
                # JSON allows spaces behind it; the format wants multiples of four.
                data += _SPACES[len(data) & 3]
            if writer.append_text(data, self._started + started):
                written = True
                self._started += started
                self._records += 1
        except Exception:
            # It is another's turn; a lone surrogate; or what `_write_next` will tell.
            pass
        except BaseException:
            # A signal's handler that raises, in the middle of it or behind it.
            if mine:
                self._started += started
                if writer.bytes_written == before:
                    self._break_off((text, started, ended, None))
                else:
                    self._records += 1
            raise
        finally:
            if mine:
                turn[0] = None
        if not written or self._pending:
            self._put((text, started, ended, None) if not written else None)

    def _put(self, item: Item | None) -> None:
        pending = self._pending
        turn = self._turn
        if item is not None:
            pending.append(item)
        # Whose turn it is writes what is pending, or has seen nothing and is about to let go of it: then we try.
        while pending:
            try:
                del turn[0]
            except KeyError:
                return
            try:
                self._write_pending()
            finally:
                turn[0] = None

    def _write_pending(self) -> None:
        while self._pending:
            if monotonic_ns() >= self._due_at:
                self._each_second()
            self._write_next()

    def _write_next(self) -> None:
        # No call: what is taken is written or counted, whatever a signal's handler raises.
        pending = self._pending
        item = pending[0]
        del pending[0]
        text, started, _, encoding = item
        writer = self._writer
        before = writer.bytes_written
        self._records += 1
        self._started += started
        try:
            try:
                data = text.encode()
            except UnicodeEncodeError:
                data = to_utf8(text)
            data += _SPACES[len(data) & 3]
            if encoding is not None:
                written = self._write_encoded(data, encoding)
            else:
                written = writer.append_text(data, self._started) or self._append(
                    len(data), (data,), 4 + len(data)
                )
        except Exception as error:
            # Never the application's concern; what is lost is counted.
            self._warn(
                f"a record could not be written: {type(error).__name__}: {error}", "OFFPATH_SPOOL_UNUSABLE"
            )
            self._lose(item, "write_failed")
            return
        except BaseException:
            # A signal's handler that raises, in the middle of it.
            if writer.bytes_written == before:
                self._break_off(item)
            raise
        if not written:
            self._lose(item, writer.last_loss)
        elif self._is_loss_untold or writer.lost != self._losses_recorded:
            self._record_losses()

    def _append(self, first: int, pieces: Sequence[bytes], size: int, kind: int = KIND_JSON) -> bool:
        """Into the open segment, or the next."""
        writer = self._writer
        if writer.append(kind, first, pieces, size, self._started):
            return True
        for _ in self._tiers:
            if not writer.renew(size):
                return False
            if writer.append(kind, first, pieces, size, self._started):
                return True
        return False

    def _write_encoded(self, data: bytes, encoding: Encoding) -> bool:
        if not self._write_with_parts(data, encoding):
            return False
        # After the record that names them: then the relay knows what for, and a process that is killed in between has
        # left the record.
        for blob, content, kind in encoding.blobs:
            if not self._write_blob(blob, content, kind):
                self._lost_updates += 1
                break
        return True

    def _write_with_parts(self, data: bytes, encoding: Encoding) -> bool:
        writer = self._writer
        length = len(data)
        pieces = [data]
        for part in encoding.parts:
            pieces += encode_part(part)
        # What it refers to is known in a segment before this one.
        is_carried = writer.generation != encoding.generation
        if is_carried:
            _carry(encoding, pieces)
        size = 4 + sum(map(len, pieces))
        if writer.append(KIND_JSON, length, pieces, size, self._started):
            return True
        if not is_carried:
            _carry(encoding, pieces)
            size = 4 + sum(map(len, pieces))
        if not self._append(length, pieces, size):
            return False
        encoding.generation = writer.generation
        return True

    def _write_blob(self, blob: int, content: bytes, kind: int) -> bool:
        length = len(content)
        offset = 0
        while True:
            end = min(length, offset + _SLICE_BYTES)
            if kind != ENCODING_BYTES and end < length:
                end = _character_start(content, end, kind)
            piece = content[offset:end]
            count = len(piece)
            head = BLOB_HEAD.pack((BLOB_LAST if end == length else 0) | kind << 8, offset, count)
            pieces = (head, piece, _PAD[count & 3])
            if not self._append(blob, pieces, 4 + sum(map(len, pieces)), KIND_BLOB):
                return False
            offset = end
            if offset >= length:
                return True

    # --- losses ---

    def _lose(self, item: Item, reason: str) -> None:
        text, started, ended, _ = item
        writer = self._writer
        if text.startswith(_SCORE):
            self.lose_score(reason)
        elif started:
            writer.count_lost(reason, started)
        elif ended is None:
            self._lost_updates += 1
        elif len(self._lost_ends) < _MAX_LOST_ENDS:
            self._lost_ends.append(ended)
        else:
            self._lost_updates += 1
        # The strings of this record are known to nobody; and the next record tells of the loss.
        writer.generation += 1
        self._is_loss_untold = True
        writer.save_losses()

    def _break_off(self, item: Item) -> None:
        self._writer.seal()
        self._lose(item, "write_failed")

    def _record_losses(self) -> None:
        """The spool works again: what was lost is recorded, and the ends that went with it."""
        writer = self._writer
        # Before the counts are read: what another thread loses now is told with the next record.
        self._is_loss_untold = False
        lines = []
        if self._lost_ends:
            ends = [{"span_id": span_id, "end_time": str(time)} for span_id, time in self._lost_ends]
            lines.append(json.dumps({"record": "lost_ends", "ends": ends}))
        totals = {reason: count for reason, count in writer.losses.items() if count}
        loss: dict[str, Any] = {"record": "loss", "totals": totals}
        untold, self._untold_scores = self._untold_scores, False
        if untold:
            loss["scores"] = dict(self._lost_scores)
        lines.append(json.dumps(loss))
        lost = writer.lost
        if self._append_lines(lines):
            self._lost_ends = []
            self._losses_recorded = lost
        else:
            self._is_loss_untold = True
            self._untold_scores = self._untold_scores or untold

    def _append_lines(self, lines: Sequence[str]) -> bool:
        data = "\n".join(lines).encode()
        length = len(data)
        return self._append(length, (data, _PAD[length & 3]), 4 + (length + 3 & ~3))

    # --- once a second, while anything is recorded ---

    def _each_second(self) -> None:
        self._due_at = monotonic_ns() + _VITALS_EVERY_NS
        try:
            self._look_around()
        except Exception as error:
            # An event loop of another make, a module that is being imported: none of the application's.
            self._warn(f"vitals can't be had: {type(error).__name__}: {error}", _NO_VITALS)

    def _look_around(self) -> None:
        writer = self._writer
        self.vitals.loop.watch()
        written = self._started - writer.lost
        if not writer.is_named():
            writer.count_lost("segment_removed", max(0, written - self._written_before))
            written = self._started - writer.lost
        self._written_before = written
        if self._started > 0:
            self._write_vitals()
        self._look_for_reader()
        self._also_each_second()

    def _write_vitals(self) -> None:
        writer = self._writer
        taken = self.vitals.take(
            self._records, self._started, writer.bytes_written, writer.lost, self._lost_updates
        )
        self._append_lines([json.dumps({"record": "vitals", **taken})])

    def _look_for_reader(self) -> None:
        if self._warned_no_reader:
            return
        now = monotonic()
        lease = self._writer.lease_time()
        if lease != self._lease:
            self._lease = lease
            self._lease_seen = now
        elif now - self._lease_seen > _NO_READER_S:
            self._warned_no_reader = True
            self._warn(
                "no relay has read the spool for 60 s: start one with `offpath up` "
                "(or set OFFPATH_ENABLED=false to stop recording)",
                "OFFPATH_NO_RELAY",
            )

    # --- the end ---

    @property
    def place(self) -> tuple[str, int, int] | None:
        return self._writer.place

    @property
    def writer_id(self) -> str:
        return self._writer.id

    def stats(self) -> dict[str, Any]:
        """Observations started, recorded or lost; records; bytes written; what was lost, by reason."""
        return {
            "observations": self._started,
            "records": self._records,
            "bytes": self._writer.bytes_written,
            "lost": dict(self._writer.losses),
            "lost_updates": self._lost_updates,
            "lost_scores": dict(self._lost_scores),
        }

    def close(self) -> None:
        """Ends the segment. What is recorded afterwards opens another one."""
        turn = self._turn
        try:
            del turn[0]
        except KeyError:
            return
        try:
            self._write_pending()
            if self._is_loss_untold:
                self._record_losses()
            if self._started > 0:
                self._write_vitals()
            self._writer.close(self._started)
        finally:
            turn[0] = None
        # What another thread has recorded meanwhile.
        self._put(None)


def _carry(encoding: Encoding, pieces: list[bytes]) -> None:
    """Adds the strings that a record refers to, for a segment that does not know them."""
    for number, text in {number: text for text, number in encoding.refs}.items():
        pieces += encode_part((text, number))


def _character_start(data: bytes, end: int, kind: int) -> int:
    """The last offset up to `end` at which a character begins."""
    if kind == 1:
        while data[end] & 0xC0 == 0x80:
            end -= 1
        return end
    end &= ~1
    return end - 2 if 0xDC <= data[end + 1] <= 0xDF else end
