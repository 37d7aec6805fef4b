"""The tables of a run as Parquet: what each column is, and how rows become bytes."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heatproof.errors import InputError, MissingExtraError, UsageError

COLUMN = "column."
"""Before the names of the data's own columns."""
SCORES = 32
"""Most classes whose scores are kept for every input."""
INPUTS: Mapping[str, str] = {
    "id": "string", "location": "string", "sha256": "string", "label": "string", "label_index": "int32",
    "cluster": "string", "annotated": "bool", "predicted": "int32", "predicted_label": "string",
    "runner_up": "int32", "runner_up_label": "string", "probability": "float32", "score": "float32",
    "scores": "list<float32>", "flags": "list<string>", "map_row": "int64",
}  # fmt: skip
FAILURES: Mapping[str, str] = {
    "id": "string", "location": "string", "row": "int64", "stage": "string", "reason": "string",
}  # fmt: skip
_INTERVALS = {f"{what}_{end}": "float64" for what in ("null", "ceiling") for end in ("estimate", "low", "high")}
RESULTS: Mapping[str, str] = {
    "question": "string", "check": "string", "primary": "bool", "subgroup_column": "string",
    "subgroup_value": "string", "claim": "string", "about": "string", "statistic": "string",
    "estimate": "float64", "low": "float64", "high": "float64", "level": "float64", **_INTERVALS,
    "null_name": "string", "margin": "float64", "alpha": "float64", "n": "int64", "unit": "string",
    "verdict": "string", "why": "string", "n_needed": "int64", "forwards": "float64", "curves": "string",
    "details": "string", "settings": "string",
}  # fmt: skip


def encode(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> bytes:
    """Return rows as the bytes of a Parquet file; the same rows give the same bytes."""
    pa, pq = arrow()
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema(columns)), buffer)
    return buffer.getvalue()


def schema(columns: Mapping[str, str]) -> Any:
    """Return the Arrow schema of columns."""
    pa, _ = arrow()
    return pa.schema([(name, _type(pa, kind)) for name, kind in columns.items()])


def rows_of(path: Path, columns: Sequence[str] | None = None, size: int = 1024) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, reading a few at a time.

    Raises:
        InputError: there is no such file, or it is no Parquet file.
        UsageError: there is no such column.
    """
    pa, pq = arrow()
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; has the audit of this folder finished?") from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is no Parquet file ({error}); run the audit again.") from error
    with file:
        missing = set(columns or ()) - set(file.schema_arrow.names)
        if missing:
            raise UsageError(f"{path.name} has no column {', '.join(sorted(missing))}.")
        for batch in file.iter_batches(size, columns=columns):
            yield from batch.to_pylist()


def column_names(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns."""
    return arrow()[1].read_schema(path).names


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], size: int = 4096) -> None:
    """Write rows as they come, holding few at a time. The file is no more whole than the disk is: write it aside."""
    pa, pq = arrow()
    wanted = schema(columns)
    with pq.ParquetWriter(path, wanted) as writer:
        waiting: list[dict[str, Any]] = []
        for row in rows:
            waiting.append(dict(row))
            if len(waiting) == size:
                writer.write_table(pa.Table.from_pylist(waiting, schema=wanted))
                waiting.clear()
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, schema=wanted))


def kind_of(values: Iterable[Any]) -> str:
    """Return the type of a column that holds these values; None is missing. Mixed columns are text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int64"
    return "float64" if kinds and kinds <= {int, float} else "string"


def cell(value: Any, kind: str) -> Any:
    """Return a value as a column of this type holds it; what does not fit is missing."""
    if value is None or (isinstance(value, float) and value != value and kind != "float64"):
        return None
    if kind == "string":
        return value if isinstance(value, str) else str(value)
    if kind == "bool":
        return value if isinstance(value, bool) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _type(pa: Any, kind: str) -> Any:
    if kind.startswith("list<"):
        return pa.list_(_type(pa, kind[5:-1]))
    return pa.bool_() if kind == "bool" else getattr(pa, kind)()


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet part.

    Raises:
        MissingExtraError: they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "audit") from error
    return pyarrow, pyarrow.parquet
