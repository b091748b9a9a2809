"""What a segment says of its writer and itself."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from struct import Struct
from typing import Any
from zlib import crc32

from .format import HEADER_JSON, MAGIC, VERSION

_MAX_HEADER_BYTES = 65_536
_FIXED = Struct("<8sII8sII")
#: Of the fixed part, the bytes that the CRC covers: from the version up to the CRC.
_CRC_FROM, _CRC_TO = 8, 28


def encode_header(facts: Mapping[str, Any], nonce: bytes, losses: bytes) -> bytes:
    """The header's bytes: fixed part, loss block, JSON, zeros up to a multiple of 8."""
    text = json.dumps(facts).encode()
    length = (HEADER_JSON + len(text) + 7) & ~7
    if length > _MAX_HEADER_BYTES:
        # Resource attributes are the only part of any length.
        return encode_header({**facts, "resource": {"offpath.resource.dropped": True}}, nonce, losses)
    fixed = _FIXED.pack(MAGIC, VERSION, length, nonce, len(text), 0)
    crc = crc32(text, crc32(fixed[_CRC_FROM:_CRC_TO]))
    head = fixed[:_CRC_TO] + crc.to_bytes(4, "little") + losses
    return (head + text).ljust(length, b"\0")


def process_identity() -> dict[str, Any]:
    """Who writes: enough for a reader in any pid namespace to tell whether it still lives.

    Nothing is imported here, not even a codec: in a child that was forked while another thread imported, that would wait
    for ever.
    """
    stat = _read("/proc/self/stat")
    try:
        namespace: str | None = os.readlink("/proc/self/ns/pid")
    except (OSError, AttributeError):
        namespace = None
    return {
        "pid": os.getpid(),
        # The command name before it may hold spaces and parentheses: count from the last one.
        "pidStartTime": stat[stat.rindex(")") + 2 :].split(" ")[19] if stat else None,
        "pidNamespace": namespace,
        "bootId": _read("/proc/sys/kernel/random/boot_id"),
        "host": socket.gethostname(),
    }


def _read(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(fd, 4096).decode("utf-8", "replace").strip()
    except OSError:
        return None
    finally:
        os.close(fd)
