"""Who holds the GIL of another process, 500 times a second: `python gil_watch.py <pid>`, with the Python that it runs.

py-spy tells what a thread is in, but its traces leave out a sample that is like the one before, so they do not tell for
how long. This reads two words of the interpreter's memory, without stopping it: the thread that last took the GIL, and
whether it has it now. Where they are is found out in this process, which is the same program.

Says `ready`; when stdin ends, a line of JSON: pairs of a time (ms since 1970) and a thread's id in the system, 0 for nobody.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import struct
import sys
import threading
import time
from array import array
from typing import Any

_PERIOD_S = 0.002
_SCANNED = 1024 * 1024
#: The GIL's `last_holder`, a pointer, and `locked`, an int, stand together.
_GIL = struct.Struct("<Qi")
_TSTATE_SCANNED = 512

_libc = ctypes.CDLL(None, use_errno=True)


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def read(pid: int, address: int, length: int) -> bytes:
    """Memory of a process; what cannot be read is missing at the end. This process gives its GIL away meanwhile."""
    buffer = ctypes.create_string_buffer(length)
    here = _Piece(ctypes.addressof(buffer), length)
    there = _Piece(address, length)
    got = _libc.process_vm_readv(
        pid, ctypes.byref(here), ctypes.c_ulong(1), ctypes.byref(there), ctypes.c_ulong(1), ctypes.c_ulong(0)
    )
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer.raw[:got]


def thread_state() -> int:
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    return int(get())


def in_a_thread(function: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def places_of(value: int, memory: bytes) -> set[int]:
    packed = struct.pack("<Q", value)
    places, at = set(), memory.find(packed)
    while at >= 0:
        places.add(at)
        at = memory.find(packed, at + 1)
    return places


def find_gil(runtime: int) -> int:
    """The offset of the GIL's words in _PyRuntime."""
    end = mapped_until(runtime)

    def look() -> set[int]:
        # string_at keeps the GIL, so `locked` is 1.
        memory = ctypes.string_at(runtime, min(_SCANNED, end - runtime))
        places = places_of(thread_state(), memory)
        return {at for at in places if _GIL.unpack_from(memory, at)[1] == 1}

    for at in sorted(look() & in_a_thread(look)):
        # read() gives the GIL away, and there is nobody who takes it.
        if _GIL.unpack(read(os.getpid(), runtime + at, _GIL.size))[1] == 0:
            return at
    raise LookupError("the GIL is not where it is looked for, in this version of Python")


def find_native_id() -> int:
    """The offset of the system's thread id in a thread's state."""

    def look() -> set[int]:
        memory = ctypes.string_at(thread_state(), _TSTATE_SCANNED)
        return places_of(threading.get_native_id(), memory)

    both = look() & in_a_thread(look)
    if not both:
        raise LookupError("a thread's state has no id of the system, in this version of Python")
    return min(both)


def mappings(pid: int | str) -> list[tuple[int, int, str]]:
    lines = []
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            parts = line.split()
            start, end = (int(part, 16) for part in parts[0].split("-"))
            lines.append((start, end, parts[5] if len(parts) > 5 else ""))
    return lines


def mapped_until(address: int) -> int:
    until = address
    for start, end, _ in mappings("self"):
        if start <= until < end:
            until = end
    return until


def same_place(address: int, pid: int) -> int:
    """Where something of this program's memory image is in another process of it."""
    file, base = "", 0
    for start, end, name in mappings("self"):
        if name.startswith("/") and name != file:
            file, base = name, start
        if start <= address < end:
            break
    for start, _, name in mappings(pid):
        if name == file:
            return start + address - base
    raise LookupError(f"process {pid} does not run {file}")


def watch(pid: int) -> list[float]:
    runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    gil_at, native_at = find_gil(runtime), find_native_id()
    gil = same_place(runtime, pid) + gil_at
    seen = array("d")
    read(pid, gil, _GIL.size)
    print("ready", flush=True)
    while True:
        try:
            holder, locked = _GIL.unpack(read(pid, gil, _GIL.size))
            thread = struct.unpack("<Q", read(pid, holder + native_at, 8))[0] if locked else 0
        except (OSError, struct.error):
            # The thread has ended meanwhile, or all of the process.
            thread = 0
        seen.append(round(time.time() * 1000, 1))
        seen.append(thread)
        if select.select([sys.stdin], [], [], _PERIOD_S)[0]:
            return list(seen)


if __name__ == "__main__":
    try:
        print(json.dumps(watch(int(sys.argv[1]))))
    except (LookupError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
