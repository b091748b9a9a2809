"""An application to be killed, as writer.child.ts is: `python writer.py <run> <pause in ms>`.

Records observations named `<run>-<n>`, and says on stdout how many are in the spool for certain ("acknowledged n"): here
each is, when the call that recorded it has returned. Every tenth stays open.
"""

from __future__ import annotations

import os
import random
import sys
import time

import offpath

run, pause_ms = sys.argv[1], float(sys.argv[2])
dice = random.Random(run)
context = "Xin chào thế giới " * 4_000
client = offpath.get_client()
recorded = 0
while True:
    for _ in range(dice.randrange(1, 40)):
        recorded += 1
        input = context[:65_536] + str(recorded) if recorded % 50 == 0 else {"question": recorded}
        generation = client.start_observation(name=f"{run}-{recorded}", as_type="generation", input=input)
        os.write(1, b"acknowledged %d\n" % recorded)
        generation.update(output=f"answer {recorded}", metadata={"recorded": recorded})
        if recorded % 10 != 0:
            generation.end()
    time.sleep(dice.random() * 2 * pause_ms / 1000)
