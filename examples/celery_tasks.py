"""A Celery task that publishes to the rooms of a web server, whatever process a client is connected to.

Run it beside examples/fastapi_chat.py, both with the same HUBBUB_BROKER in the environment:
CELERY_BROKER_URL=redis://localhost HUBBUB_BROKER=local: celery --app examples.celery_tasks worker
"""

from celery import Celery, Task

import hubbub

app = Celery("tasks")


@app.task(bind=True, autoretry_for=(hubbub.BrokerUnavailable, hubbub.Overloaded), retry_backoff=True)
def announce(task: Task, room: str, text: str) -> int:
    """A task may run twice, when it is tried again: by its key the message is published once."""
    return hubbub.publish(room, text, key=task.request.id).offset
