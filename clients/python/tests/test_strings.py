"""What is remembered of a segment is never taken for what the next one has, whatever threads do in between."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Callable
from types import FrameType
from typing import Any

from offpath._recorder import strings
from offpath._recorder.strings import RecentStrings

OLD, NEW = "an old string" * 100, "a new string" * 100


def between_lines(then: Callable[[], None], run: Callable[[], None]) -> int:
    """Runs, and calls `then` before each line of the module that it passes: as another thread may. Returns how often."""
    calls = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal calls
        if frame.f_code.co_filename != strings.__file__:
            return None
        if event == "line":
            calls += 1
            sys.settrace(None)
            then()
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return calls


class Threads(unittest.TestCase):
    def test_a_string_of_the_segment_before_is_not_found_while_the_next_begins(self) -> None:
        recent = RecentStrings()
        recent.remember([(OLD, 1)], [], 1)
        found = []
        calls = between_lines(
            lambda: found.append(recent.find(OLD, 2)), lambda: recent.remember([(NEW, 2)], [], 2)
        )
        self.assertGreater(calls, 5)
        self.assertEqual(set(found), {0})
        self.assertEqual(recent.find(NEW, 2), 2)

    def test_a_string_of_the_segment_before_is_not_remembered_for_the_next(self) -> None:
        lines = between_lines(lambda: None, lambda: RecentStrings().remember([(OLD, 1)], [], 0))
        for line in range(lines):
            recent = RecentStrings()
            recent.remember([], [], 1)
            left = [line]

            def then(recent: RecentStrings = recent, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == -1:
                    recent.remember([(NEW, 2)], [], 2)

            between_lines(then, lambda recent=recent: recent.remember([(OLD, 1)], [], 1))  # type: ignore[misc]
            self.assertEqual(recent.find(OLD, 2), 0, f"before line {line}")


if __name__ == "__main__":
    unittest.main()
