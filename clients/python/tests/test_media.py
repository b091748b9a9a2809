from __future__ import annotations

import base64
import hashlib
import os

from offpath._api.client import reset
from offpath._recorder.values import Media as Content
from offpath.media import LangfuseMedia

from .reader import Media as Recorded
from .support import SpoolTest

_PNG = b"\x89PNG\r\n\x1a\n\0\xff"


class Media(SpoolTest):
    def test_bytes_and_data_uris_are_recorded_as_bytes(self) -> None:
        uri = f"data:image/png;base64,{base64.b64encode(_PNG).decode()}"
        for media, source in (
            (LangfuseMedia(content_bytes=_PNG, content_type="image/png"), "bytes"),
            (LangfuseMedia(base64_data_uri=uri), "base64_data_uri"),
        ):
            expected = Recorded("image/png", _PNG, source)
            self.assertEqual(self.recorded({"messages": [media]}), {"messages": [expected]})

    def test_bytes_that_are_text_stay_bytes(self) -> None:
        media = LangfuseMedia(content_bytes=b"a,b\n", content_type="text/csv")
        self.assertEqual(self.recorded(media), Recorded("text/csv", b"a,b\n", "bytes"))

    def test_base64_that_the_relay_decodes(self) -> None:
        for text in ("YQ==", "A" * 4000):
            media = Content("audio/wav", text, "base64_data_uri")
            expected = Recorded("audio/wav", text, "base64_data_uri")
            self.assertEqual(self.recorded({"data": media}), {"data": expected})

    def test_base64_that_is_too_long(self) -> None:
        os.environ["OFFPATH_MAX_VALUE_BYTES"] = "1000"
        reset()
        media = Content("audio/wav", "A" * 4000, "base64_data_uri")
        self.assertEqual(self.recorded({"data": media}), {"data": "[truncated: 4000 bytes]"})

    def test_files(self) -> None:
        path = os.path.join(self.disk, "x.png")
        with open(path, "wb") as file:
            file.write(_PNG)
        media = LangfuseMedia(file_path=path, content_type="image/png")
        self.assertEqual(self.recorded(media), Recorded("image/png", _PNG, "file"))
        self.assertIn("source=file@@@", str(media._reference_string))

    def test_ids_and_references(self) -> None:
        media = LangfuseMedia(content_bytes=_PNG, content_type="image/png", obj=1)
        identity = base64.urlsafe_b64encode(hashlib.sha256(_PNG).digest()).decode()[:22]
        reference = f"@@@langfuseMedia:type=image/png|id={identity}|source=bytes@@@"
        self.assertEqual((media._media_id, media._reference_string, media.obj), (identity, reference, 1))
        self.assertEqual(
            LangfuseMedia.parse_reference_string(reference),
            {"media_id": identity, "source": "bytes", "content_type": "image/png"},
        )
        for text in (
            "",
            "x",
            "@@@langfuseMedia:type=a|id=b",
            "@@@langfuseMedia:type=a|id=b@@@",
            None,
        ):
            with self.subTest(text=text), self.assertRaises(ValueError):
                LangfuseMedia.parse_reference_string(text)  # type: ignore[arg-type]

    def test_what_cannot_be_read_is_logged_and_null(self) -> None:
        for arguments in (
            {},
            {"content_bytes": b"x"},
            {"base64_data_uri": "http://example.com/x.png"},
            {"base64_data_uri": "data:image/png,abc"},
            {"base64_data_uri": "data:image/png;base64,a"},
            {"file_path": "/nowhere/x", "content_type": "image/png"},
        ):
            with self.subTest(arguments=arguments), self.assertLogs("offpath", "ERROR"):
                media = LangfuseMedia(**arguments)  # type: ignore[arg-type]
                self.assertIsNone(media._reference_string)
                self.assertIsNone(self.recorded({"media": media})["media"])  # type: ignore[index]
