"""Numbers of the spool format (docs/spool-format.md)."""

from __future__ import annotations

from struct import Struct

MAGIC = b"OFFPATH1"
VERSION = 1
FRAME_MAGIC = b"OPF1"

#: magic, nonce, payload length, sequence, kind | flags << 8, observations started, observations lost, CRC-32,
#: and the payload's first word
FRAME_HEAD = Struct("<4s8sIIIQQII")
#: Of these, the frame's own.
FRAME_HEAD_BYTES = 44
#: The part of a frame's head that its CRC covers.
FRAME_HEAD_CRC_BYTES = 40
WORD = Struct("<I")
FRAME_BYTES = FRAME_HEAD_BYTES + WORD.size
#: A frame that has no payload: the last of a segment.
END_HEAD = Struct("<4s8sIIIQQI")

KIND_JSON = 2
KIND_BLOB = 3
KIND_END = 4
FLAG_CRC = 1 << 8

#: Of a part and of a blob's slice.
ENCODING_BYTES = 0
ENCODING_UTF8 = 1
ENCODING_UTF16 = 2
BLOB_LAST = 1
#: Behind the blob's id, which is the payload's first word: flags | encoding << 8, offset, length.
BLOB_HEAD = Struct("<IQI")

#: Offset of the loss block in a segment's header.
HEADER_LOSSES = 32
HEADER_JSON = 128
LOSSES = Struct("<12Q")
LOSS_REASONS = (
    "spool_full",
    "slow_disk",
    "write_failed",
    "segment_removed",
    "no_spool",
    "too_large",
    "invalid",
)

#: A frame's payload may have 64 MB; what is behind the records leaves room for them.
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
