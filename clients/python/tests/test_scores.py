"""Scores, as the spool has them."""

from __future__ import annotations

import datetime
import json
import math
import os
import time
from typing import Any

from offpath import propagate_attributes
from offpath._api.observation import RemoteParent, begin

from .support import SpoolTest

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Scores(SpoolTest):
    def scores(self) -> list[dict[str, Any]]:
        return self.spool().of("score")

    def test_all_that_is_given_is_recorded(self) -> None:
        client = self.client(environment="prod", project="search")
        moment = datetime.datetime(2026, 11, 24, 10, 0, 0, 123456, tzinfo=datetime.timezone.utc)
        given = {
            "trace_id": TRACE,
            "observation_id": "00000000000000b1",
            "session_id": "session",
            "dataset_run_id": "run",
            "data_type": "CATEGORICAL",
            "comment": "xin chào \ud800",
            "config_id": "config",
        }
        metadata = {"tags": {"a"}, "$offpath:string": 1, "bytes": b"\xff", "long": "x" * 5000}
        client.create_score(
            name="quality",
            value="good",
            score_id="s1",
            metadata=metadata,
            timestamp=moment,
            **given,  # type: ignore[arg-type]
        )
        [score] = self.scores()
        self.assertEqual(
            score,
            {
                "record": "score",
                "id": "s1",
                "name": "quality",
                "value": "good",
                "timestamp": "1795514400123456000",
                "environment": "prod",
                "project": "search",
                "metadata": {**metadata, "tags": ["a"], "bytes": "<not serializable bytes>"},
                **given,
            },
        )
        self.assertEqual(self.spool().started, 0)

    def test_what_looks_like_a_reference_stays_what_it_is(self) -> None:
        self.client().create_score(name="n", value=1, session_id="s", metadata={"$offpath:object": {"a": 1}})
        # The reader of these tests takes references for what they stand for.
        segments = [name for name in os.listdir(self.memory) if name.endswith(".seg")]
        with open(os.path.join(self.memory, segments[0]), "rb") as file:
            self.assertIn(b'"metadata":{"$offpath:object":{"a":1}}', file.read())

    def test_ids_and_times_are_made_where_none_are_given(self) -> None:
        client = self.client()
        before = datetime.datetime.now(datetime.timezone.utc)
        client.create_score(name="n", value=1, session_id="s")
        client.create_score(name="n", value=1, session_id="s")
        first, second = self.scores()
        self.assertNotEqual(first["id"], second["id"])
        self.assertRegex(first["id"], "^[0-9a-f]{16}$")
        age = int(first["timestamp"]) / 1e9 - before.timestamp()
        self.assertTrue(-1 < age < 10, age)
        self.assertLessEqual({"record", "id", "name", "value", "timestamp", "session_id"}, set(first))
        self.assertNotIn("trace_id", first)

    def test_numbers_become_floats(self) -> None:
        client = self.client()
        for value in (True, False, 3, 0.25, "3"):
            client.create_score(name="n", value=value, session_id="s")
        values = [score["value"] for score in self.scores()]
        self.assertEqual(values, [1.0, 0.0, 3.0, 0.25, "3"])
        self.assertEqual([type(value) for value in values], [float, float, float, float, str])

    def test_a_time_without_a_zone_is_utc(self) -> None:
        client = self.client()
        naive = datetime.datetime(2026, 11, 24, 10)
        zone = datetime.timezone(datetime.timedelta(hours=7))
        client.create_score(name="n", value=1, session_id="s", timestamp=naive)
        client.create_score(
            name="n", value=1, session_id="s", timestamp=datetime.datetime(2026, 11, 24, 17, tzinfo=zone)
        )
        self.assertEqual({score["timestamp"] for score in self.scores()}, {"1795514400000000000"})

    def test_the_active_observation_and_its_trace(self) -> None:
        client = self.client()
        client.score_current_span(name="nothing is active", value=1)
        client.score_current_trace(name="nothing is active", value=1)
        environment = propagate_attributes(environment="canary")
        with environment, client.start_as_current_observation(name="root") as root:
            client.score_current_span(name="span", value=0.5, comment="ok", score_id="s1")
            client.score_current_trace(name="trace", value="good", data_type="CATEGORICAL")
            root.score(name="span", value=1)
        root.score_trace(name="trace, later", value=0)
        span, trace, own, later = self.scores()
        self.assertEqual((span["trace_id"], span["observation_id"]), (root.trace_id, root.id))
        self.assertEqual((span["id"], span["value"], span["comment"]), ("s1", 0.5, "ok"))
        self.assertEqual(trace["trace_id"], root.trace_id)
        self.assertNotIn("observation_id", trace)
        self.assertEqual(trace["data_type"], "CATEGORICAL")
        self.assertEqual(own["observation_id"], root.id)
        self.assertEqual(later["name"], "trace, later")
        self.assertEqual({score["environment"] for score in self.scores()}, {"canary"})

    def test_a_trace_that_is_not_sampled_has_no_scores(self) -> None:
        client = self.client(sample_rate=0.5)
        low, high = "0" * 31 + "1", "f" * 32
        client.create_score(name="in", value=1, trace_id=low)
        client.create_score(name="out", value=1, trace_id=high)
        client.create_score(name="no trace", value=1, session_id="s")
        client.create_score(name="other id", value=1, trace_id="legacy")
        # Its trace is recorded, whatever the rate says: its caller has sampled it.
        remote = begin(client, "span", "remote", RemoteParent(high, "00000000000000b1"), {})
        remote.score(name="recorded", value=1)
        unsampled = self.client(sample_rate=0.0).start_observation(name="unsampled")
        unsampled.score(name="out", value=1)
        unsampled.score_trace(name="out", value=1)
        names = [score["name"] for score in self.scores()]
        self.assertEqual(names, ["in", "no trace", "other id", "recorded"])

    def test_disabled_records_nothing(self) -> None:
        client = self.client(tracing_enabled=False)
        client.create_score(name="n", value=1, trace_id=TRACE)
        client.start_observation(name="x").score(name="n", value=1)
        self.assertEqual(self.scores(), [])

    def test_what_is_no_score_is_told_and_counted(self) -> None:
        client = self.client()
        with self.assertLogs("offpath", "ERROR") as logs:
            for value in (math.nan, math.inf, None, object()):
                client.create_score(name="n", value=value, trace_id=TRACE)  # type: ignore[arg-type]
        self.assertEqual(len(logs.output), 4)
        self.assertEqual(self.scores(), [])
        self.assertEqual(client.stats()["lost_scores"], {"invalid": 4})
        client.create_score(name="n", value=1, trace_id=TRACE)
        self.assertEqual(self.spool().of("loss")[-1]["scores"], {"invalid": 4})
        losses = len(self.spool().of("loss"))
        client.create_score(name="n", value=1, trace_id=TRACE)
        self.assertEqual(len(self.spool().of("loss")), losses)

    def test_one_that_the_spool_does_not_take_is_counted_and_told_later(self) -> None:
        os.environ["OFFPATH_SPOOL_CAP"] = "300KB"
        os.environ["OFFPATH_SPOOL_DISK_CAP"] = "1B"
        client = self.client()
        client.start_observation(name="one").end()
        for _ in range(20):
            client.create_score(name="n", value=1, trace_id=TRACE, comment="x" * 100_000)
        stats = client.stats()
        kept = len(self.scores())
        self.assertGreater(kept, 0)
        self.assertEqual(stats["lost_scores"], {"spool_full": 20 - kept})
        self.assertEqual(sum(stats["lost"].values()), 0)
        # A relay makes room.
        for name in os.listdir(self.memory):
            os.unlink(os.path.join(self.memory, name))
        time.sleep(0.15)
        client.create_score(name="n", value=1, trace_id=TRACE)
        loss = self.spool().of("loss")[-1]
        self.assertEqual((loss["totals"], loss["scores"]), ({}, {"spool_full": 20 - kept}))

    def test_a_long_text_is_cut_visibly(self) -> None:
        self.client().create_score(name="n", value=1, trace_id=TRACE, comment="x" * 300_000)
        [score] = self.scores()
        self.assertTrue(score["comment"].endswith("…[truncated: 131072 of 300000 characters]"))
        self.assertLess(len(json.dumps(score)), 1_000_000)
