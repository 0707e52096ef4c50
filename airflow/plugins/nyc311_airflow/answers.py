"""What an answer of the service, or none, means for a task: go on, ask again later, or fail at once."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

# What may pass although it is 4xx.
PASSING = frozenset({408, 425, 429})


class Passing(AirflowException):
    """The service could not answer, and may later. As a task's error it is retried.

    `retry_after` is when it asked to be asked again, in seconds; None where it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Passing):
    """Nothing answers at the address of the connection."""


class Refused(AirflowFailException):
    """The service says no for good: 4xx but for what may pass."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def read(
    status: int,
    body: str,
    *,
    url: str,
    connection: str,
    retry_after: str | None = None,
    location: str | None = None,
) -> dict[str, Any]:
    """Returns the document of an answer that says yes; raises `Passing` or `AirflowFailException` else."""
    if status == 204:
        return {}
    if 200 <= status < 300:
        document = _document(body)
        if document is None:
            raise AirflowFailException(
                f"{url} answered {status}, and not as nyc311 does: {_excerpt(body)}."
                f" Is the address of the connection {connection} that of the service?"
            )
        return document
    what = f"{url} answered {status}: {_detail(body)}"
    if status >= 500 or status in PASSING:
        raise Passing(what, _seconds(retry_after))
    if 300 <= status < 400:
        raise AirflowFailException(
            f"{what}; it redirects to {location}: put that address into the connection {connection}"
        )
    if status == 401:
        raise AirflowFailException(
            f"{what}. The token of the connection {connection} is missing or wrong: its extra is to be"
            ' {"Authorization": "Bearer TOKEN"} with the service\'s http.token, and its login empty'
        )
    if _document(body) is None:
        raise AirflowFailException(
            f"{what}. That is not an answer of nyc311:"
            f" is the address of the connection {connection} that of the service?"
        )
    raise Refused(what, status)


def unreachable(url: str, connection: str, error: BaseException) -> Unreachable:
    """Says that nothing answers at an address, and what to look at."""
    return Unreachable(
        f"no answer from {url}: {_reason(error)}. Does the service run, and are host and port of the"
        f" connection {connection} right?"
    )


def missing_connection(connection: str) -> AirflowFailException:
    return AirflowFailException(
        f"there is no connection {connection}: add one of type HTTP with the address of the service, and its token as"
        ' {"Authorization": "Bearer TOKEN"} in the extra (docs/airflow.md)'
    )


def _document(body: str) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _detail(body: str) -> str:
    document = _document(body) or {}
    return str(document.get("detail") or document.get("title") or _excerpt(body))


def _excerpt(body: str) -> str:
    text = " ".join(body.split())
    return repr(text if len(text) <= 200 else text[:200] + "...") if text else "an empty body"


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        # A date, which only a proxy in between would send.
        return None


def _reason(error: BaseException) -> str:
    """Says what the operating system said, which lies at the bottom of what libraries wrap around it."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        if isinstance(at, OSError) and at.strerror:
            return at.strerror
        inner = getattr(at, "reason", None)
        at = inner if isinstance(inner, BaseException) else (at.__cause__ or at.__context__)
    return str(error) or type(error).__name__
