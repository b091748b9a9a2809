"""The queue between test_celery.py and its workers: files in a folder, no server."""

from __future__ import annotations

import os

from celery import Celery


def queue(folder: str) -> Celery:
    tasks, results, control = (os.path.join(folder, name) for name in ("tasks", "results", "control"))
    for each in (tasks, results, control):
        os.makedirs(each, exist_ok=True)
    app = Celery("offpath", broker="filesystem://", backend=f"file://{results}")
    app.conf.broker_transport_options = {
        "data_folder_in": tasks,
        "data_folder_out": tasks,
        "control_folder": control,
    }
    return app
