"""The queries of the dashboards and alerts, as Grafana and Prometheus would run them."""

import json
import re
from pathlib import Path

DASHBOARDS = Path("deploy/grafana/dashboards")
ALERTS = Path("deploy/prometheus/alerts.yml")
ALERT_TESTS = Path("deploy/prometheus/alerts_test.yml")
# What Grafana would put in for a panel of an hour.
PROMETHEUS_MACROS = {"$__rate_interval": "1m", "$__range": "1h"}


def queries(kind):
    """Yields the title of a panel and one of its queries, of a kind of data source."""
    field = {"prometheus": "expr", "postgres": "rawSql"}[kind]
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == kind:
                    yield f"{path.stem}: {panel['title']}", target[field]


def in_prometheus(expression):
    """Puts values in for Grafana's macros."""
    for macro, value in PROMETHEUS_MACROS.items():
        expression = expression.replace(macro, value)
    assert "$__" not in expression, expression
    return expression


def in_postgres(statement, since, until):
    """Puts a range of time in for Grafana's macros, as it does."""
    statement = statement.replace("$__timeFrom()", f"'{since}'").replace("$__timeTo()", f"'{until}'")
    assert "$__" not in statement, statement
    return statement


def alerts():
    """Returns the expression of each alert by its name."""
    found = {}
    for rule in re.split(r"\n {6}- alert: ", ALERTS.read_text())[1:]:
        name, _, rest = rule.partition("\n")
        block = re.search(r"\n {8}expr: \|\n((?: {10}.*\n)+)", "\n" + rest)
        line = re.search(r"\n {8}expr: (?!\|)(.*)\n", "\n" + rest)
        found[name] = block.group(1) if block else line.group(1)
    return found


def metrics_of(expression):
    """Returns the names of the metrics that an expression reads."""
    return set(re.findall(r"\bnyc311_\w+|\bup\b", expression))


def tested_alerts():
    """Returns the names of the alerts that alerts_test.yml has fire."""
    return set(re.findall(r'expr: ALERTS\{alertname="(\w+)"', ALERT_TESTS.read_text()))
