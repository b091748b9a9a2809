"""An application for test_celery.py. A worker's parent loads it, which records, and forks its children then."""

from __future__ import annotations

import os
import signal
import time

from celery_queue import queue

from offpath import get_client, observe

#: Recorded before the fork and after it: a child's segment does not know it.
CONTEXT = "a long context " * 100

app = queue(os.environ["QUEUE_FOLDER"])
# For a child that died; by default it waits 10 s for what it may have left.
app.conf.worker_lost_wait = 0.5
client = get_client()
client.start_observation(name="loaded", input=CONTEXT).end()
#: The parent's: what a child does with it is not recorded.
inherited = client.start_observation(name="inherited")


@app.task(name="answer")
def answer(question: str) -> int:
    inherited.update(output=question).end()
    with client.start_as_current_observation(name="task", input=question):
        generate(question)
        # So that one child does not do all of them.
        time.sleep(0.01)
    return os.getpid()


@app.task(name="die")
def die() -> None:
    """As of the kernel that is out of memory."""
    with client.start_as_current_observation(name="task"):
        generate("before")
        os.kill(os.getpid(), signal.SIGKILL)


@observe(as_type="generation")
def generate(question: str) -> str:
    client.update_current_generation(input=[CONTEXT, question], metadata={"pid": os.getpid()})
    return question.upper()
