"""Kafka Connect with Debezium's JDBC sink: its two files of properties, and the command that runs it alone.

A sink that writes columns must know their types, and the raw rows are JSON without a schema. The JSON converter
takes one from its settings, so no step has to come before; two of Kafka's own transforms make numbers and times
of the texts. The column `:updated_at` keeps its name: the transform that renames takes none with a colon.
"""

import json
import os
from urllib.parse import urlsplit

from table import FIELDS, KEY

# The sink writes no more at once than its consumer brings. One task: two are slower on two cores.
BATCH = 2_000
NUMBERS = {"bigint": "int64", "double precision": "float64"}
TRANSFORMS = "org.apache.kafka.connect.transforms."
# What the start script of Kafka Connect sets.
JAVA = "-Xms256M -Xmx2G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35".split()


def worker(peer):
    fields = [{"field": source, "type": "string", "optional": source != KEY} for source, _, _ in FIELDS]
    return {
        "bootstrap.servers": peer["BOOTSTRAP"],
        "plugin.path": os.path.join(peer["JARS"], "plugins"),
        "listeners": "http://127.0.0.1:0",
        "offset.storage.file.filename": os.path.join(peer["FOLDER"], "offsets"),
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        "value.converter.schema.content": json.dumps({"type": "struct", "fields": fields}),
    }


def sink(peer):
    database = urlsplit(peer["DATABASE"])
    times = [(source, kind) for source, _, kind in FIELDS if kind.startswith("timestamp")]
    settings = {
        "name": peer["GROUP"],
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": 1,
        "topics": peer["TOPIC"],
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.max.poll.records": BATCH,
        "connection.url": f"jdbc:postgresql://{database.hostname}:{database.port}{database.path}",
        "connection.username": database.username,
        "connection.password": database.password,
        "collection.name.format": "service_request",
        "quote.identifiers": "true",
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": KEY,
        "batch.size": BATCH,
        # The same key twice in one statement is an error.
        "use.reduction.buffer": "true",
        "dialect.postgres.unnest.insert.enabled": "true",
        "transforms": ",".join(["cast", *(f"time{number}" for number in range(len(times)))]),
        "transforms.cast.type": TRANSFORMS + "Cast$Value",
        "transforms.cast.spec": ",".join(f"{source}:{NUMBERS[kind]}" for source, _, kind in FIELDS if kind in NUMBERS),
    }
    for number, (source, kind) in enumerate(times):
        settings[f"transforms.time{number}.type"] = TRANSFORMS + "TimestampConverter$Value"
        settings[f"transforms.time{number}.field"] = source
        settings[f"transforms.time{number}.target.type"] = "Timestamp"
        zone = "X" if kind == "timestamptz" else ""
        settings[f"transforms.time{number}.format"] = f"yyyy-MM-dd'T'HH:mm:ss.SSS{zone}"
    return settings


def command(peer):
    """Writes the properties and returns the command."""
    files = []
    for name, settings in (("worker", worker(peer)), ("sink", sink(peer))):
        files.append(os.path.join(peer["FOLDER"], f"{name}.properties"))
        with open(files[-1], "w", encoding="utf-8") as file:
            file.writelines(f"{key}={value}\n" for key, value in settings.items())
    logging = os.path.join(peer["JARS"], "log4j2.properties")
    jars = os.path.join(peer["JARS"], "jars", "*")
    return [
        peer["JAVA"], *JAVA, f"-Dlog4j2.configurationFile={logging}", "-cp", jars,
        "org.apache.kafka.connect.cli.ConnectStandalone", *files,
    ]
