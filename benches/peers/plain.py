"""A plain consumer: confluent-kafka, orjson, psycopg; for each batch a COPY into a staging table and one upsert."""

import psycopg

from consuming import each_batch
from table import COLUMNS, SOURCE_NAMES, UPSERT, setting


def main():
    with psycopg.connect(setting("DATABASE"), autocommit=True) as connection:
        connection.execute("create temp table staging (like service_request) on commit delete rows")

        def store(rows):
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy(f"copy staging ({', '.join(COLUMNS)}) from stdin") as copy:
                    for row in rows:
                        copy.write_row([row.get(name) for name in SOURCE_NAMES])
                cursor.execute(UPSERT)

        each_batch(store)


if __name__ == "__main__":
    main()
