"""Old values from PostgreSQL before 18: the rows are locked and read by the UPDATE itself.

::

    WITH old AS (SELECT id, narrowed … FROM t WHERE … FOR NO KEY UPDATE)
    UPDATE t SET … FROM old WHERE t.id = old.id RETURNING old.…, t.…

Locking reads what a concurrent writer has committed meanwhile, not what the snapshot saw, and
nobody can change it before the UPDATE does. One statement, as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OLD = '"cachepatterns_old"'


def with_old_values(
    compiler: Any, statement: str, params: Sequence[Any], fields: Sequence[Any], *, saves: bool
) -> tuple[str, tuple[Any, ...], list[str]] | None:
    """`statement`, an UPDATE as `compiler` compiled it, its parameters, and the columns to be
    returned: those of `fields` before, then after. `None` if it is not of that form.

    `saves` is whether it sets all columns, changed or not, as ``save()`` does.
    """
    quote = compiler.connection.ops.quote_name
    where, values = compiler.compile(compiler.query.where)
    condition = f" WHERE {where}"
    if not statement.endswith(condition):
        return None
    meta = compiler.query.get_meta()
    table = quote(meta.db_table)
    keys = {f"{table}.{quote(f.column)}": f"k{n}" for n, f in enumerate(meta.pk_fields)}
    columns = [f"{table}.{quote(field.column)}" for field in fields]
    held = [f"o{number}" for number in range(len(fields))]
    named = [*keys.items(), *zip(columns, held, strict=True)]
    read = ", ".join(f"{column} AS {name}" for column, name in named)
    joined = " AND ".join(f"{column} = {OLD}.{name}" for column, name in keys.items())
    # FOR UPDATE also blocks inserts of rows that refer to these. A plain UPDATE does so only
    # where a key changes, so it is taken where a key is set on purpose.
    keyed = not saves and any(field.unique for field, _, _ in compiler.query.values)
    lock = "FOR UPDATE" if keyed else "FOR NO KEY UPDATE"
    text = (
        f"WITH {OLD} AS (SELECT {read} FROM {table}{condition} {lock}) "
        f"{statement[: -len(condition)]} FROM {OLD} WHERE {joined}"
    )
    rest = tuple(params)[: len(params) - len(values)]
    return text, (*values, *rest), [*(f"{OLD}.{name}" for name in held), *columns]
