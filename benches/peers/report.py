"""The table and the line of JSON."""

import json

COLUMNS = [
    ("", "what", 30), ("", "rows", 10), ("", "s", 8), ("", "rows/s", 8), ("CPU us/row", "peer", 11),
    ("CPU us/row", "PostgreSQL", 11), ("CPU us/row", "Kafka", 11), ("CPU us/row", "together", 11), ("peak", "MiB", 8),
    ("start-up", "s", 9), ("start-up", "CPU s", 9),
]


def figures(result):
    """Returns the columns of a result, in their order."""
    per_row = [seconds * 1e6 / result["rows"] for seconds in result["cpu_s"].values()]
    return [
        f"{result['rows']:,}", f"{result['seconds']:.2f}", f"{result['rows'] / result['seconds']:,.0f}",
        *(f"{us:.1f}" for us in [*per_row, sum(per_row)]), f"{result['peak_bytes'] / 2**20:.1f}",
        f"{result['startup_s']:.2f}", f"{result['startup_cpu_s']:.2f}",
    ]


def line(cells):
    first, *others = zip(cells, COLUMNS)
    return first[0].ljust(first[1][2]) + "".join(cell.rjust(column[2]) for cell, column in others)


def show(machine, rows, keys, results):
    """Prints what came out: the table, what each leaves out, and everything as the last line."""
    print(f"date     {machine['date'][:16].replace('T', ' ')} UTC, commit {machine['commit']}")
    print(f"machine  {machine['cores']} cores ({machine['processor']}), {machine['memory_gib']:.1f} GiB of memory")
    servers = f"PostgreSQL {machine['postgresql']} with fsync, Apache Kafka {machine['kafka']}"
    print(f"servers  {servers}, on the same machine")
    print(f"rows     {rows:,} versions of {keys:,} requests of a generated city, all in the raw topic beforehand\n")
    print(line([column[0] for column in COLUMNS]).rstrip())
    print(line([column[1] for column in COLUMNS]))
    for result in results:
        if "failed" in result:
            print(f"{result['peer'].ljust(COLUMNS[0][2])}FAILED: {result['failed']}")
        else:
            print(line([result["peer"], *figures(result)]))
    print("\nwhat each leaves out")
    for result in results:
        print(f"  {result['peer'].ljust(COLUMNS[0][2] - 2)}{result['leaves_out']}")
    print(json.dumps({"machine": machine, "rows": rows, "keys": keys, "peers": results}))
