"""Says what foreign readers find in files of an archive, as JSON.

    read.py pyarrow|duckdb|fastavro FILE...     rows, with bytes as hexadecimal and times as milliseconds
    read.py statistics FILE                     of each row group, the bounds of some columns, and the codecs
    read.py size FILE                           bytes of the same rows written by pyarrow with Zstandard
    read.py sql QUERY                           rows of DuckDB
"""

import datetime
import json
import os
import sys
import tempfile


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        assert value.tzinfo is not None, "a time without a zone"
        return round(value.timestamp() * 1000)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def rows_of(relation):
    names = relation.columns
    return [dict(zip(names, row)) for row in relation.fetchall()]


how, files = sys.argv[1], sys.argv[2:]
if how == "pyarrow":
    import pyarrow.parquet as pq

    rows = []
    for file in files:
        for row in pq.read_table(file).to_pylist():
            row["properties"] = dict(row["properties"])
            rows.append(row)
    answer = rows
elif how == "duckdb":
    import duckdb

    duckdb.sql("set timezone = 'UTC'")
    answer = rows_of(duckdb.sql(f"select * from read_parquet({files!r}) order by partition, sequenceNumber"))
elif how == "fastavro":
    import fastavro

    answer = []
    for file in files:
        with open(file, "rb") as stream:
            answer.extend(fastavro.reader(stream))
elif how == "statistics":
    import pyarrow.parquet as pq

    meta = pq.ParquetFile(files[0]).metadata
    answer = []
    for nth in range(meta.num_row_groups):
        group = meta.row_group(nth)
        found = {"rows": group.num_rows}
        for at in range(group.num_columns):
            column = group.column(at)
            stats = column.statistics
            found[column.path_in_schema] = {
                "codec": column.compression,
                "encodings": list(column.encodings),
                "bounds": [stats.min, stats.max] if stats is not None and stats.has_min_max else None,
            }
        answer.append(found)
elif how == "size":
    import pyarrow.parquet as pq

    table = pq.read_table(files[0])
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy.parquet")
        pq.write_table(table, copy, compression="zstd", row_group_size=10_000)
        answer = os.path.getsize(copy)
elif how == "sql":
    import duckdb

    duckdb.sql("set timezone = 'UTC'")
    answer = rows_of(duckdb.sql(files[0]))
else:
    raise SystemExit(__doc__)
json.dump(plain(answer), sys.stdout, default=str)
