"""Old values from PostgreSQL before 18: the rows are locked and read by the UPDATE itself.

::

    WITH old AS (SELECT id, narrowed … FROM t WHERE … FOR NO KEY UPDATE),
         new AS (UPDATE t SET … FROM old WHERE t.id = old.id RETURNING old.id, t.…)
    SELECT old.…, new.… FROM old LEFT JOIN new ON new.id = old.id

Locking reads what a concurrent writer has committed meanwhile, not what the snapshot saw, and
nobody can change it before the UPDATE does. One statement, as before.

A row whose *primary key* such a writer has just changed is found by its lock, and not by the
UPDATE, which looks for the new key in the old snapshot. A plain UPDATE would have followed it, so
no write may be lost here: the outer join tells which rows were missed, and `again` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OLD, NEW = '"cachepatterns_old"', '"cachepatterns_new"'

Row = tuple[Any, ...]


class UpdateWithOldValues:
    """An UPDATE that tells the `returned` columns, then `fields` before and after.

    `saves` is whether it sets all columns, changed or not, as ``save()`` does.
    """

    def __init__(
        self,
        compiler: Any,
        head: str,
        params: Sequence[Any],
        where: tuple[str, Sequence[Any]],
        fields: Sequence[Any],
        returned: Sequence[Any],
        *,
        saves: bool,
    ) -> None:
        quote = compiler.connection.ops.quote_name
        meta = compiler.query.get_meta()
        table = quote(meta.db_table)
        self._head, self._condition = head, where[0]
        self._set_params, self._where_params = tuple(params), tuple(where[1])

        def columns(wanted: Sequence[Any]) -> list[str]:
            return [f"{table}.{quote(field.column)}" for field in wanted]

        self._keys, self._told = columns(meta.pk_fields), columns(fields)
        self._returned = columns(returned)
        keys = _names("k", self._keys)
        old, new = _names("o", self._told), _names("n", self._told)
        more = _names("r", self._returned)
        # FOR UPDATE also blocks inserts of rows that refer to these. A plain UPDATE does so
        # only where a key changes, so it is taken where a key is set on purpose.
        keyed = not saves and any(field.unique for field, _, _ in compiler.query.values)
        lock = "FOR UPDATE" if keyed else "FOR NO KEY UPDATE"
        locked = _aliased([*self._keys, *self._told], [*keys, *old])
        written = _aliased([*self._told, *self._returned], [*new, *more])
        same = " AND ".join(f"{c} = {OLD}.{k}" for c, k in zip(self._keys, keys, strict=True))
        joined = " AND ".join(f"{NEW}.{key} = {OLD}.{key}" for key in keys)
        told = [*(f"{NEW}.{n}" for n in more), *(f"{OLD}.{n}" for n in old)]
        told += [f"{NEW}.{n}" for n in new] + [f"{OLD}.{n}" for n in keys]
        self.text = (
            f"WITH {OLD} AS (SELECT {locked} FROM {table} WHERE {where[0]} {lock}), "
            f"{NEW} AS ({head} FROM {OLD} WHERE {same} "
            f"RETURNING {', '.join(f'{OLD}.{key}' for key in keys)}, {written}) "
            f"SELECT {', '.join(told)}, {NEW}.k0 IS NOT NULL "
            f"FROM {OLD} LEFT JOIN {NEW} ON {joined}"
        )
        self.params = (*self._where_params, *self._set_params)

    @property
    def deciding(self) -> Sequence[int]:
        """The places of what has to be read in any case: what is returned, the keys, and whether
        the row was written. `split` takes such rows too."""
        width, told, keys = len(self._returned), len(self._told), len(self._keys)
        end = width + 2 * told
        return [*range(width), *range(end, end + keys + 1)]

    def split(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """The rows written (returned, old, new), and the keys of those that were missed."""
        end = -1 - len(self._keys)
        return (
            [tuple(row[:end]) for row in rows if row[-1]],
            [tuple(row[end:-1]) for row in rows if not row[-1]],
        )

    def again(self, missed: Sequence[Row]) -> tuple[str, tuple[Any, ...]]:
        """The plain UPDATE of the missed, which returns the like; old values stay unknown."""
        one = f"({', '.join(['%s'] * len(self._keys))})"
        text = (
            f"{self._head} WHERE ({self._condition}) "
            f"AND ({', '.join(self._keys)}) IN ({', '.join([one] * len(missed))}) "
            f"RETURNING {', '.join([*self._returned, *self._told, *self._told])}"
        )
        keys = (value for key in missed for value in key)
        return text, (*self._set_params, *self._where_params, *keys)


def with_old_values(
    compiler: Any,
    statement: str,
    params: Sequence[Any],
    fields: Sequence[Any],
    returned: Sequence[Any],
    *,
    saves: bool,
) -> UpdateWithOldValues | None:
    """`statement`, an UPDATE as `compiler` compiled it, made to tell; `None` if it is not of
    that form."""
    where, values = compiler.compile(compiler.query.where)
    condition = f" WHERE {where}"
    if not statement.endswith(condition):
        return None
    head, rest = statement[: -len(condition)], params[: len(params) - len(values)]
    return UpdateWithOldValues(
        compiler, head, rest, (where, values), fields, returned, saves=saves
    )


def _names(letter: str, columns: Sequence[str]) -> list[str]:
    return [f"{letter}{number}" for number in range(len(columns))]


def _aliased(columns: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join(f"{c} AS {n}" for c, n in zip(columns, names, strict=True))
