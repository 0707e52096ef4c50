"""Arms faults in the process that the connection leads to, and clears exactly those again."""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from nyc311_airflow import answers, service

log = logging.getLogger(__name__)

ENDPOINT = "v1/faults"


def refuse_where_disabled(connection: str) -> None:
    """Fails where the service takes no faults."""
    try:
        service.ride_out(lambda: service.call("GET", ENDPOINT, connection=connection))
    except answers.Refused as refused:
        if refused.status == 403:
            raise AirflowFailException(
                f"{refused}. A game day runs only where the service has faults.enabled, which a production has not"
            ) from refused
        raise


def arm(faults: list[dict[str, Any]], expires_in: str, connection: str) -> list[dict[str, Any]]:
    """Arms all faults, or none: what is armed when one is refused is cleared again. Returns them as armed."""
    armed: list[dict[str, Any]] = []
    try:
        for fault in faults:
            body = {"expires_in": expires_in, **fault}
            armed.append(service.call("POST", ENDPOINT, body, connection=connection))
            log.info("armed %s", json.dumps(armed[-1]))
    except BaseException:
        clear(armed, connection)
        raise
    return armed


def clear(armed: list[dict[str, Any]], connection: str) -> list[dict[str, Any]]:
    """Clears what was armed, and returns each as it has ended.

    Ids begin anew with each process, so a fault is ours if it was armed at the same time, too. What the
    process has forgotten is returned with `hits` of None.
    """
    ended = []
    for fault in armed:
        found = _find(fault, connection)
        if found is not None and found["state"] == "armed":
            service.ride_out(lambda id=fault["id"]: _delete(id, connection), reached_before=True)
            found = _find(fault, connection)
        ended.append(found or {**fault, "state": "gone", "hits": None})
        log.info("cleared %s", json.dumps(ended[-1]))
    return ended


def _delete(id: int, connection: str) -> None:
    try:
        service.call("DELETE", f"{ENDPOINT}/{id}", connection=connection)
    except answers.Refused as refused:
        # It has ended by itself, or its process has.
        if refused.status != 404:
            raise


def _find(fault: dict[str, Any], connection: str) -> dict[str, Any] | None:
    known = service.ride_out(
        lambda: service.call("GET", ENDPOINT, connection=connection), reached_before=True
    )
    for other in known["faults"] + known["ended"]:
        if other["id"] == fault["id"] and other["armed_at"] == fault["armed_at"]:
            return other
    return None
