"""Spark Structured Streaming: `foreachBatch` writes each micro-batch with JDBC into a staging table, and one upsert."""

import glob
import os
from urllib.parse import urlsplit

import psycopg
from pyspark.sql import SparkSession, functions
from pyspark.sql.types import StringType, StructField, StructType

from table import FIELDS, UPSERT, announce, setting

# Rows of a micro-batch: few enough that a failed one is soon repeated, enough that its fixed cost does not count.
BATCH = 100_000
TYPES = {"bigint": "bigint", "double precision": "double", "timestamp": "timestamp_ntz", "timestamptz": "timestamp"}


def parsed(records):
    """Takes the columns out of the JSON; a text that is not of its column's type becomes null."""
    schema = StructType([StructField(source, StringType()) for source, _, _ in FIELDS])
    rows = records.select(functions.from_json(functions.col("value").cast("string"), schema).alias("row"))

    def field(source, column, kind):
        value = rows["row"].getField(source)
        return (value.try_cast(TYPES[kind]) if kind in TYPES else value).alias(column)

    return rows.select([field(*described) for described in FIELDS])


def main():
    database = urlsplit(setting("DATABASE"))
    url = f"jdbc:postgresql://{database.hostname}:{database.port}{database.path}?reWriteBatchedInserts=true"
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.jars", ",".join(glob.glob(os.path.join(setting("JARS"), "jars", "*.jar"))))
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("WARN")
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", setting("BOOTSTRAP"))
        .option("subscribe", setting("TOPIC"))
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", BATCH)
        .load()
    )
    with psycopg.connect(setting("DATABASE"), autocommit=True) as connection:
        connection.execute("create unlogged table staging (like service_request)")

        def store(batch, _):
            (
                batch.write.format("jdbc")
                .option("url", url)
                .option("driver", "org.postgresql.Driver")
                .option("user", database.username)
                .option("password", database.password)
                .option("dbtable", "staging")
                .option("batchsize", 1_000)
                .option("truncate", "true")
                .mode("overwrite")
                .save()
            )
            connection.execute(UPSERT)

        announce("reading")
        query = (
            parsed(records).writeStream.foreachBatch(store)
            .option("checkpointLocation", setting("FOLDER") + "/checkpoint")
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        announce("done")
    spark.stop()


if __name__ == "__main__":
    main()
