"""Sets Airflow up in a folder of its own, before anything imports it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HOME = Path(tempfile.mkdtemp(prefix="nyc311-airflow-"))

for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HERE.parent / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE.parent / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
}
# As Airflow does with its plugins folder; the tests of pure rules need no Airflow.
sys.path.append(str(HERE.parent / "plugins"))


@pytest.fixture(scope="session")
def airflow_database() -> Iterator[None]:
    """The metadata of Airflow, in a file of its own."""
    from airflow.utils.db import initdb

    initdb()
    yield
    shutil.rmtree(HOME, ignore_errors=True)
