"""Reads a writer's segments, after docs/spool-format.md and docs/json-records.md alone: what the tests compare with."""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Media:
    content_type: str
    data: Any
    source: str


@dataclass
class Spool:
    headers: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    started: int = 0
    lost: int = 0
    #: Bytes of parts written.
    part_bytes: int = 0
    ended: int = 0
    torn: int = 0

    def of(self, record: str) -> list[dict[str, Any]]:
        return [each for each in self.records if each["record"] == record]

    def observations(self) -> dict[str, dict[str, Any]]:
        """By span id: later records replace earlier fields, metadata merges."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.records:
            if "span_id" not in record:
                continue
            into = found.setdefault(record["span_id"], {})
            for key, value in record.items():
                if key == "metadata" and isinstance(into.get(key), dict) and isinstance(value, dict):
                    into[key] = {**into[key], **value}
                elif key == "events":
                    into[key] = into.get(key, []) + value
                elif key == "trace":
                    into[key] = {**into.get(key, {}), **value}
                elif key != "record":
                    into[key] = value
                if record["record"] == "event":
                    into["end_time"] = record["start_time"]
        return found

    def named(self, name: str) -> dict[str, Any]:
        found = [each for each in self.observations().values() if each.get("name") == name]
        assert len(found) == 1, f"{len(found)} observations are named {name}"
        return found[0]


def read_spool(*directories: str) -> Spool:
    spool = Spool()
    segments = []
    for directory in directories:
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name.endswith(".seg"):
                segments.append((name, os.path.join(directory, name)))
    blobs: dict[int, tuple[int, bytearray]] = {}
    pending: list[tuple[str, dict[int, str]]] = []
    for _, path in sorted(segments):
        with open(path, "rb") as file:
            data = file.read()
        # One without a header is none: its writer was broken off.
        if data:
            _read_segment(data, spool, blobs, pending)
    texts = {number: _decoded(kind, bytes(data)) for number, (kind, data) in blobs.items()}
    for text, strings in pending:
        for line in text.split("\n"):
            spool.records.append(_resolved(json.loads(line), strings, texts))
    return spool


def _read_segment(
    data: bytes,
    spool: Spool,
    blobs: dict[int, tuple[int, bytearray]],
    pending: list[tuple[str, dict[int, str]]],
) -> None:
    magic, version, length, nonce, json_length, crc = struct.unpack_from("<8sII8sII", data)
    assert magic == b"OFFPATH1" and version == 1
    text = data[128 : 128 + json_length]
    assert crc == zlib.crc32(text, zlib.crc32(data[8:28]))
    header = json.loads(text)
    spool.headers.append(header)
    strings: dict[int, str] = {}
    at = length
    sequence = 0
    while at + 48 <= len(data) and data[at : at + 12] == b"OPF1" + nonce:
        size, number, kind, started, lost, crc = struct.unpack_from("<IIIQQI", data, at + 12)
        payload = data[at + 44 : at + 44 + size]
        footer = struct.unpack_from("<I", data, at + 44 + size)[0]
        if footer != size ^ int.from_bytes(nonce[:4], "little"):
            # The writer was killed in the middle of it.
            spool.torn += 1
            return
        assert size % 4 == 0
        assert number == sequence
        if kind >> 8 & 1:
            assert crc == zlib.crc32(payload, zlib.crc32(data[at : at + 40]))
        sequence += 1
        spool.started, spool.lost = started, lost
        kind &= 255
        if kind == 2:
            _read_json(payload, strings, pending, spool)
        elif kind == 3:
            blob, flags, offset, count = struct.unpack_from("<IIQI", payload)
            encoding, content = blobs.setdefault(blob, (flags >> 8, bytearray()))
            assert offset == len(content) and encoding == flags >> 8
            content += payload[20 : 20 + count]
        elif kind == 4:
            spool.ended += 1
            return
        at += 48 + size
    # What is behind the last frame is zeros, or another use of the file.
    assert header["recycled"] or at == len(data), f"{len(data) - at} bytes behind the last frame"


def _read_json(
    payload: bytes, strings: dict[int, str], pending: list[tuple[str, dict[int, str]]], spool: Spool
) -> None:
    length = struct.unpack_from("<I", payload)[0]
    text = payload[4 : 4 + length].decode()
    at = 4 + (length + 3 & ~3)
    while at < len(payload):
        word, number = struct.unpack_from("<II", payload, at)
        size = word >> 8
        strings[number] = _decoded(word & 255, payload[at + 8 : at + 8 + size])
        spool.part_bytes += size
        at += 8 + (size + 3 & ~3)
    pending.append((text, strings))


def _decoded(encoding: int, data: bytes) -> Any:
    if encoding == 0:
        return data
    return data.decode() if encoding == 1 else data.decode("utf-16-le", "surrogatepass")


def _resolved(value: Any, strings: dict[int, str], blobs: dict[int, Any]) -> Any:
    if isinstance(value, list):
        return [_resolved(item, strings, blobs) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$offpath:string":
            return strings[inner]
        if key == "$offpath:blob":
            return blobs[inner]
        if key == "$offpath:media":
            data = _resolved(inner["data"], strings, blobs)
            return Media(inner["content_type"], data, inner["source"])
        if key == "$offpath:object":
            return {name: _resolved(item, strings, blobs) for name, item in inner.items()}
    return {key: _resolved(item, strings, blobs) for key, item in value.items()}
