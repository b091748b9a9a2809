from __future__ import annotations

import base64
import hashlib
import os

from offpath.media import LangfuseMedia

from .support import SpoolTest

_PNG = b"\x89PNG\r\n\x1a\n\0\xff"


class Media(SpoolTest):
    def test_bytes_and_data_uris_are_recorded_as_bytes(self) -> None:
        uri = f"data:image/png;base64,{base64.b64encode(_PNG).decode()}"
        for media in (
            LangfuseMedia(content_bytes=_PNG, content_type="image/png"),
            LangfuseMedia(base64_data_uri=uri),
        ):
            expected = {"contentType": "image/png", "content": _PNG}
            self.assertEqual(self.recorded({"messages": [media]}), {"messages": [expected]})

    def test_bytes_that_are_text_stay_bytes(self) -> None:
        media = LangfuseMedia(content_bytes=b"a,b\n", content_type="text/csv")
        self.assertEqual(self.recorded(media), {"contentType": "text/csv", "content": b"a,b\n"})

    def test_files(self) -> None:
        path = os.path.join(self.disk, "x.png")
        with open(path, "wb") as file:
            file.write(_PNG)
        media = LangfuseMedia(file_path=path, content_type="image/png")
        self.assertEqual(self.recorded(media), {"contentType": "image/png", "content": _PNG})
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
