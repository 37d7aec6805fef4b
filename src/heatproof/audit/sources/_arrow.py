"""Arrow and Parquet files of data sets: their columns as plain values, row by row, and one cell of one row."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from heatproof.errors import InputError, MissingExtraError

_BATCH = 1024
_FILE_MAGIC = b"ARROW1"


def schema_of(path: str) -> Any:
    """Return the Arrow schema of a file.

    Raises:
        InputError: it is broken.
        MissingExtraError: pyarrow is not installed.
    """
    return _parquet(path).schema_arrow if path.endswith(".parquet") else _table(path, *_state(path)).schema


def features_of(schema: Any) -> Mapping[str, Any]:
    """Return what the Hugging Face library wrote into a schema: {"label": {"_type": "ClassLabel", "names": ...}}."""
    try:
        told: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features: Any = told.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


def is_bytes(kind: Any) -> bool:
    """Return whether a column of a type holds pictures or other bytes."""
    pa = _pyarrow()
    if pa.types.is_struct(kind):
        return any(is_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def rows_of(path: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file, of these columns alone; a batch is in memory at a time.

    Raises:
        InputError: the file is broken.
    """
    if not path.endswith(".parquet"):
        table = _table(path, *_state(path)).select(list(columns))
        for batch in table.to_batches(max_chunksize=_BATCH):
            yield from batch.to_pylist() if columns else [{}] * batch.num_rows
        return
    file = _parquet(path)
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
            yield from batch.to_pylist() if columns else [{}] * batch.num_rows
    except (_pyarrow().ArrowException, OSError) as error:
        raise _broken(path, error) from error


def cell_of(path: str, row: int, column: str) -> Any:
    """Return one cell as a plain value; safe to call from several threads.

    Raises:
        InputError: the file is broken, or has no such row.
    """
    state = _state(path)
    try:
        if not path.endswith(".parquet"):
            return _table(path, *state).column(column)[row].as_py()
        counts = _counts(path, *state)
        group = 0
        while row >= counts[group]:
            row -= counts[group]
            group += 1
        return _group(path, *state, group, column)[row].as_py()
    except (_pyarrow().ArrowException, OSError, IndexError, KeyError) as error:
        raise _broken(path, error) from error


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("pyarrow", "audit") from error
    return pyarrow


def _state(path: str) -> tuple[int, int]:
    """Return what changes when a file does, so that nothing old is kept of it."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise _broken(path, error) from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=256)
def _table(path: str, _changed: int, _size: int) -> Any:
    """Return an Arrow file as a table that lies on disk: nothing of it is read before it is asked for."""
    pa = _pyarrow()
    try:
        mapped = pa.memory_map(path)
        stream = mapped.read(len(_FILE_MAGIC)) != _FILE_MAGIC
        mapped.seek(0)
        return (pa.ipc.open_stream(mapped) if stream else pa.ipc.open_file(mapped)).read_all()
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _parquet(path: str) -> Any:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


@lru_cache(maxsize=256)
def _counts(path: str, _changed: int, _size: int) -> tuple[int, ...]:
    about = _parquet(path).metadata
    return tuple(about.row_group(i).num_rows for i in range(about.num_row_groups))


@lru_cache(maxsize=4)
def _group(path: str, _changed: int, _size: int, group: int, column: str) -> Any:
    """Return a column of a row group: the least that Parquet can read."""
    return _parquet(path).read_row_group(group, columns=[column]).column(column)


def _broken(path: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()).replace(path, Path(path).name).rstrip(".")
    return InputError(f"{Path(path).name} is no intact Arrow or Parquet file ({reason}); get an intact copy.")
