from __future__ import annotations

import importlib.util
import unittest

import offpath
from tests.reader import Media
from tests.support import SpoolTest


@unittest.skipUnless(importlib.util.find_spec("langfuse"), "langfuse not installed")
class LangfusesMedia(SpoolTest):
    def test_ids_are_langfuses_and_its_class_is_known(self) -> None:
        from langfuse.media import LangfuseMedia

        for content in (b"", b"\xff" * 100, bytes(range(256))):
            with self.subTest(length=len(content)):
                ours = offpath.LangfuseMedia(content_bytes=content, content_type="audio/wav")
                theirs = LangfuseMedia(content_bytes=content, content_type="audio/wav")
                self.assertEqual(ours._reference_string, theirs._reference_string)
                self.assertEqual(ours._content_sha256_hash, theirs._content_sha256_hash)
                self.assertEqual(self.recorded(theirs), Media("audio/wav", content, "bytes"))
