from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import AirflowFailException

from nyc311_airflow import answers, service


def read(status: int, body: str, **more: str):
    return answers.read(status, body, url="http://nyc311:8311/v1/polls", connection="nyc311", **more)


def test_a_yes_gives_its_document():
    assert read(202, '{"id": "1"}') == {"id": "1"}
    assert read(204, "") == {}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_pass_is_worth_asking_again(status):
    with pytest.raises(answers.Passing, match="database is away") as caught:
        read(status, json.dumps({"detail": "the database is away"}), retry_after="3")
    assert caught.value.retry_after == 3


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, '{"detail": "no token"}', "The token of the connection nyc311 is missing or wrong"),
        (404, "<html>not here</html>", "is the address of the connection nyc311 that of the service"),
        (200, "<html>welcome</html>", "Is the address of the connection nyc311 that of the service"),
        (302, "", "redirects to https://elsewhere/: put that address into the connection nyc311"),
        (422, '{"detail": "/since: is not a time"}', "/since: is not a time"),
    ],
)
def test_what_does_not_pass_fails_at_once_and_says_what_to_look_at(status, body, said):
    with pytest.raises(AirflowFailException, match=said):
        read(status, body, location="https://elsewhere/")


def test_a_wrong_address_has_failed_within_a_minute():
    # What is asked for last begins within the patience.
    assert service.PATIENCE_S + sum(service.TIMEOUTS_S) < 60


def test_asking_again_ends_with_the_patience(monkeypatch):
    monkeypatch.setattr(service, "PATIENCE_S", 0.0)
    asked = []

    def ask():
        asked.append(None)
        raise answers.Unreachable("no answer.")

    with pytest.raises(AirflowFailException, match="no answer"):
        service.ride_out(ask)
    with pytest.raises(answers.Unreachable):
        service.ride_out(ask, reached_before=True)
    assert len(asked) == 2
