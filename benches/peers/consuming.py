"""What the consumers of Python share: batches of the topic, whose offsets move behind their commit."""

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException

from table import announce, setting

BATCH = 10_000


def each_batch(act):
    """Reads the topic to its end and hands over the rows in batches; an offset is committed when `act` has returned."""
    consumer = Consumer({
        "bootstrap.servers": setting("BOOTSTRAP"),
        "group.id": setting("GROUP"),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    unfinished = set()

    def assigned(_, partitions):
        unfinished.update(partition.partition for partition in partitions)
        announce("reading")

    consumer.subscribe([setting("TOPIC")], on_assign=assigned)
    started = False
    while unfinished or not started:
        rows = []
        while len(rows) < BATCH and (unfinished or not started):
            for message in consumer.consume(BATCH - len(rows), timeout=0.5):
                started = True
                error = message.error()
                if error is None:
                    rows.append(orjson.loads(message.value()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition())
                else:
                    raise KafkaException(error)
        if rows:
            act(rows)
            consumer.commit(asynchronous=False)
    announce("done")
    consumer.close()
