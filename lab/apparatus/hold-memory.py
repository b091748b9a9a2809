"""Holds memory until it is ended, in pieces of 1 MB with 1 MB of free memory between them: `python3 hold-memory.py <GB>`.

A virtual machine may give memory that is free in one piece of 2 MB and more back to its host, within seconds; who gets it
next pays for each of its pages. What lies in smaller pieces stays.
"""

import mmap
import signal
import sys

MB = 1 << 20
memory = mmap.mmap(-1, int(sys.argv[1]) << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, len(memory), mmap.PAGESIZE):
    memory[page] = 1
for piece in range(0, len(memory), 2 * MB):
    memory.madvise(mmap.MADV_DONTNEED, piece, MB)
print("holding", flush=True)
signal.pause()
