from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

from offpath.logs import OffpathHandler

from .support import SpoolTest


class Logs(SpoolTest):
    def setUp(self) -> None:
        super().setUp()
        self.handler = OffpathHandler()
        self.logger = logging.getLogger("shop.orders")
        self.logger.setLevel("DEBUG")
        self.logger.propagate = False
        self.logger.addHandler(self.handler)
        self.addCleanup(self.logger.removeHandler, self.handler)

    def events(self) -> list[dict[str, Any]]:
        return self.spool().of("event")

    def test_records_become_events_of_the_active_observation(self) -> None:
        with self.client().start_as_current_observation(name="order") as order:
            self.logger.info("sold %d of %s", 3, "tea", extra={"customer": "c-1", "items": [1, 2]})
        (event,) = self.events()
        self.assertEqual((event["name"], event["output"]), ("shop.orders", "sold 3 of tea"))
        self.assertEqual(event["parent_span_id"], order.id)
        self.assertEqual(event["metadata"]["customer"], "c-1")
        self.assertEqual(event["metadata"]["items"], [1, 2])
        self.assertEqual(event["metadata"]["level"], "INFO")
        self.assertRegex(event["metadata"]["file"], r"test_logs\.py:\d+$")
        self.assertNotIn("level", event)
        self.assertNotIn("status_message", event)

    def test_levels(self) -> None:
        with self.client().start_as_current_observation(name="order"):
            for level in (5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
                self.logger.log(level, "x")
        levels = [event.get("level") for event in self.events()]
        self.assertEqual(levels, ["DEBUG", None, "WARNING", "ERROR", "ERROR"])
        self.assertEqual(self.events()[2]["status_message"], "x")

    def test_exceptions(self) -> None:
        with self.client().start_as_current_observation(name="order"):
            try:
                raise KeyError("no tea")
            except KeyError:
                self.logger.exception("it failed")
        (event,) = self.events()
        self.assertIn("KeyError: 'no tea'", event["metadata"]["exception"])
        self.assertEqual(event["status_message"], "it failed")

    def test_without_an_observation_nothing_is_recorded(self) -> None:
        self.client()
        self.logger.error("x")
        self.assertEqual(self.spool().records, [])

    def test_a_formatter(self) -> None:
        self.handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
        with self.client().start_as_current_observation(name="order"):
            self.logger.info("x")
        self.assertEqual(self.events()[0]["output"], "[INFO] x")

    def test_values_that_log_while_they_are_read_end_nothing(self) -> None:
        logger = self.logger

        class Chatty:
            @property
            def __dict__(self) -> Any:  # type: ignore[override]
                logger.info("I am read")
                return {"a": 1}

        with self.client().start_as_current_observation(name="order"):
            self.logger.info("x", extra={"value": Chatty()})
        (event,) = self.events()
        self.assertEqual(event["metadata"]["value"], {"a": 1})

    def test_what_offpath_logs_is_left_out(self) -> None:
        root = logging.getLogger()
        root.addHandler(self.handler)
        self.addCleanup(root.removeHandler, self.handler)
        with self.client().start_as_current_observation(name="order"):
            logging.getLogger("offpath").warning("x")
            logging.getLogger("offpath.inner").warning("x")
            logging.getLogger("offpathology").warning("y")
        self.assertEqual([event["output"] for event in self.events()], ["y"])

    def test_a_record_that_cannot_be_read_raises_nothing(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.client().start_as_current_observation(name="order"):
            self.logger.info("%d", "no number")
            self.logger.info("next")
        self.assertEqual([event["output"] for event in self.events()], ["next"])
        self.assertIn("Logging error", said.getvalue())

    def test_a_mask_sees_messages(self) -> None:
        client = self.client(mask=lambda data: "***")
        with client.start_as_current_observation(name="order"):
            self.logger.error("the key is s3cret")
        (event,) = self.events()
        self.assertEqual((event["output"], event["status_message"]), ("***", "***"))

    def test_filters(self) -> None:
        self.handler.addFilter(lambda record: "tea" in record.getMessage())
        with self.client().start_as_current_observation(name="order"):
            self.logger.info("tea")
            self.logger.info("coffee")
        self.assertEqual([event["output"] for event in self.events()], ["tea"])
