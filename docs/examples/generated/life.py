"""The life of a task through a client that openapi-python-client made of openapi.json.

    python3 -m venv env && env/bin/pip install openapi-python-client
    env/bin/openapi-python-client generate --path openapi.json --output-path client
    PYTHONPATH=client env/bin/python life.py http://127.0.0.1:7117 ID-OF-A-NEW-TASK
"""

import os
import sys

from tenure_client import AuthenticatedClient
from tenure_client.api.namespace import post_ns_claims
from tenure_client.api.tasks import (
    get_ns_tasks_id,
    post_ns_tasks,
    post_ns_tasks_id_complete,
    post_ns_tasks_id_heartbeat,
)
from tenure_client.models import (
    AnsweredTask,
    ClaimBody,
    CompleteBody,
    CreateBody,
    Granted,
    HeartbeatBody,
    PolicyInput,
    Problem,
    ProblemCode,
    Renewed,
    State,
    Task,
    TaskAnswer,
)

NAMESPACE = "default"
OWNER = "w1"


def main(url: str, token: str, id: str) -> None:
    client = AuthenticatedClient(base_url=url, token=token)

    # A duration is a number of seconds, or a text such as "90s".
    new = CreateBody(id=id, queue="typed", policy=PolicyInput(lease_ttl=90))
    created = post_ns_tasks.sync(NAMESPACE, client=client, body=new, idempotency_key=f"{id}/create")
    if not isinstance(created, AnsweredTask):
        raise SystemExit(f"not created: {created}")
    assert created.task.state is State.PLANNED

    claim = ClaimBody(queue="typed", owner=OWNER)
    granted = post_ns_claims.sync(NAMESPACE, client=client, body=claim, idempotency_key=f"{id}/claim")
    if not isinstance(granted, Granted) or not granted.tasks:
        raise SystemExit(f"nothing granted: {granted}")
    epoch = granted.tasks[0].epoch

    beat = HeartbeatBody(owner=OWNER, epoch=epoch, progress={"done": 1})
    renewed = post_ns_tasks_id_heartbeat.sync(NAMESPACE, id, client=client, body=beat)
    if not isinstance(renewed, Renewed):
        raise SystemExit(f"the lease is lost: {renewed}")

    # A caller with another epoch is refused, and the code says why.
    stranger = HeartbeatBody(owner=OWNER, epoch=epoch + 1)
    refused = post_ns_tasks_id_heartbeat.sync(NAMESPACE, id, client=client, body=stranger)
    assert isinstance(refused, Problem) and refused.code is ProblemCode.STALE_EPOCH

    done = CompleteBody(owner=OWNER, epoch=epoch, result={"answer": 42})
    ended = post_ns_tasks_id_complete.sync(NAMESPACE, id, client=client, body=done, idempotency_key=f"{id}/end")
    if not isinstance(ended, AnsweredTask):
        raise SystemExit(f"not completed: {ended}")

    shown = get_ns_tasks_id.sync(NAMESPACE, id, client=client)
    assert isinstance(shown, TaskAnswer)
    task: Task = shown.task
    print(f"{task.id} {task.state.value} {task.result}")


if __name__ == "__main__":
    # A server that only its machine reaches asks for no token while none was made.
    main(sys.argv[1], os.environ.get("TENURE_TOKEN", "none"), sys.argv[2])
