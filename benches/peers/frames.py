"""pandas and SQLAlchemy: each batch is a data frame, cleaned by its columns and written with `to_sql`."""

import pandas
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import insert

from consuming import each_batch
from table import COLUMNS, FIELDS, KEY, SOURCE_NAMES, VERSION, setting

CHUNK = 1_000


def upsert(table, connection, names, rows):
    """Writes a chunk for `to_sql`; rows as parameters are nine times as fast as rows in the statement."""
    statement = insert(table.table)
    changes = {name: statement.excluded[name] for name in names if name != KEY}
    statement = statement.on_conflict_do_update(
        index_elements=[KEY], set_=changes, where=statement.excluded[VERSION] > table.table.c[VERSION]
    )
    return connection.execute(statement, [dict(zip(names, row)) for row in rows]).rowcount


def main():
    engine = create_engine(setting("DATABASE").replace("postgres://", "postgresql+psycopg://"))

    def store(rows):
        frame = pandas.DataFrame(rows, columns=SOURCE_NAMES)
        frame.columns = COLUMNS
        for _, column, kind in FIELDS:
            if kind.startswith("timestamp"):
                frame[column] = pandas.to_datetime(frame[column], format="ISO8601", errors="coerce")
            elif kind == "bigint":
                frame[column] = pandas.to_numeric(frame[column], errors="coerce").astype("Int64")
            elif kind == "double precision":
                frame[column] = pandas.to_numeric(frame[column], errors="coerce")
        frame = frame.sort_values(VERSION).drop_duplicates(KEY, keep="last")
        with engine.begin() as connection:
            frame.to_sql("service_request", connection, if_exists="append", index=False, chunksize=CHUNK, method=upsert)

    each_batch(store)


if __name__ == "__main__":
    main()
