"""Settings of the DAGs, from environment variables that begin with `AIRFLOW_NYC311_`.

A name of its own: the program nyc311 refuses variables that begin with `NYC311_` and that it does not know.
They are read when a DAG is parsed, so every component of Airflow needs the same ones.
"""

from __future__ import annotations

import os

CONNECTION = "nyc311"

PREFIX = "AIRFLOW_NYC311_"


class SettingError(ValueError):
    """A setting that cannot be used: names the variable, its value and what to write."""


def schedule(name: str, default: str) -> str | None:
    """Returns a cron expression or preset; None, for runs by hand alone, where the variable is `none`."""
    text = os.environ.get(PREFIX + name, "").strip() or default
    return None if text.lower() == "none" else text


def number(name: str, default: float, least: float, most: float) -> float:
    """Returns a number within its bounds."""
    text = os.environ.get(PREFIX + name, "").strip()
    return _number(name, text, least, most, "") if text else default


def number_or_none(name: str, default: float, least: float, most: float) -> float | None:
    """Returns a number within its bounds, or None where the variable is `none`."""
    text = os.environ.get(PREFIX + name, "").strip()
    if text.lower() == "none":
        return None
    return _number(name, text, least, most, ", or none") if text else default


def _number(name: str, text: str, least: float, most: float, otherwise: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    # False for what is no number, too.
    if least <= value <= most:
        return value
    raise SettingError(f'{PREFIX}{name} is "{text}"; write a number from {least:g} to {most:g}{otherwise}')
