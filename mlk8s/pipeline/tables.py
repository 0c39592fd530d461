"""What a user's function returned, as a checked pyarrow Table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlk8s.pipeline.source import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_EXPECTED = "a pyarrow Table, a dict of equally long one-dimensional arrays, or a pandas DataFrame"


def to_table(result: object) -> pa.Table:
    """Turn a result into a table and check it.

    Args:
        result: a `pyarrow.Table`, a dict of name → array of shape [rows], or a `pandas.DataFrame`.

    Raises:
        UserError: another type, no rows, no columns, or columns that share a name.
    """
    table = _converted(result)
    if not table.num_columns or not table.num_rows:
        raise UserError(
            f"The pipeline's result is empty: {table.num_rows} rows, {table.num_columns} columns.",
            expected="at least one row and one column",
        )
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise UserError(f"Columns share a name: {', '.join(twice)}.", expected="unique column names")
    return table


def parts(table: pa.Table, rows: int = 1_000_000) -> list[pa.Table]:
    """The table in parts of at most `rows` rows, for one Parquet file each."""
    return [table.slice(start, rows) for start in range(0, table.num_rows, rows)]


def _converted(result: object) -> pa.Table:
    import pyarrow as pa

    if isinstance(result, pa.Table):
        return result
    try:
        if isinstance(result, Mapping):
            return pa.table({str(name): _column(str(name), values) for name, values in result.items()})
        if type(result).__module__.startswith("pandas") and hasattr(result, "columns"):
            return pa.Table.from_pandas(result, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise UserError(
            f"The pipeline's result is no table: {error}".replace("\n", " "), expected=_EXPECTED
        ) from None
    raise UserError(f"The pipeline returned a {type(result).__name__}.", expected=_EXPECTED)


def _column(name: str, values: Any) -> pa.Array:
    import pyarrow as pa

    if getattr(values, "ndim", 1) != 1:
        raise UserError(
            f"Column {name!r} has the shape {list(values.shape)}.",
            expected="one dimension",
            next_step="return a column for each feature: {f'f{i}': x[:, i] for i in range(x.shape[1])}",
        )
    return values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values)
