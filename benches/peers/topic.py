"""What a table must hold in the end, told from the topic itself."""

from datetime import datetime

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException

from table import KEY, VERSION


def newest_versions(bootstrap, topic):
    """Reads the topic whole and returns what a right table says when it is asked by `fingerprint`."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "peers",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    newest = {}
    consumer.subscribe([topic])
    unfinished = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    while unfinished:
        for message in consumer.consume(10_000, timeout=1):
            error = message.error()
            if error is None:
                row = orjson.loads(message.value())
                key = int(row[KEY])
                newest[key] = max(newest.get(key, ""), row[":updated_at"])
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished -= 1
            else:
                raise KafkaException(error)
    consumer.close()
    versions = (int(datetime.fromisoformat(version).timestamp()) for version in newest.values())
    return len(newest), sum(newest), sum(versions)


def fingerprint(connection, table, version=VERSION):
    """Returns how many keys there are, their sum, and that of their versions in whole seconds, which all keep."""
    return connection.execute(
        f"select count(*), sum({KEY})::bigint, sum(floor(extract(epoch from {version})))::bigint from {table}"
    ).fetchone()
