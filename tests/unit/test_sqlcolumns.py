"""What a statement shows, works with and sets, by its text alone."""

import pytest

from cachepatterns.core.sqlcolumns import assigned_columns, shown_columns, used_names

SHOWN = 'SELECT "t"."id", "t"."views" FROM "t" WHERE "t"."id" = %s LIMIT 21'

USED = {
    "condition": 'SELECT "t"."id", "t"."views" FROM "t" WHERE "t"."views" > %s',
    "ordering": 'SELECT "t"."id", "t"."views" FROM "t" ORDER BY "t"."views" DESC',
    "ordering by position": 'SELECT "t"."views" FROM "t" ORDER BY 1 ASC',
    "the second by position": 'SELECT "t"."id", "t"."views" FROM "t" ORDER BY "t"."id", 2 DESC',
    "expression": 'SELECT ("t"."views" + %s) AS "x" FROM "t"',
    "aggregate": 'SELECT SUM("t"."views") AS "__aggregate" FROM "t"',
    "distinct": 'SELECT DISTINCT "t"."views" FROM "t"',
    "grouped by position": 'SELECT "t"."views", COUNT(*) AS "n" FROM "t" GROUP BY 1',
    "subquery": 'SELECT "t"."id" FROM "t" WHERE "t"."id" IN (SELECT U0."views" FROM "u" U0)',
    "subquery in the list": 'SELECT (SELECT U0."views" FROM "u" U0) AS "x" FROM "t"',
    "join": 'SELECT "t"."id" FROM "t" INNER JOIN "u" ON ("t"."views" = "u"."id")',
    "union": '(SELECT "t"."views" FROM "t") UNION (SELECT "u"."views" FROM "u")',
    "counted slice": 'SELECT COUNT(*) FROM (SELECT "t"."views" AS "c" FROM "t" LIMIT 5) subquery',
    "mysql": "SELECT `t`.`id` FROM `t` WHERE `t`.`views` > %s",
}


@pytest.mark.parametrize("sql", USED.values(), ids=USED)
def test_what_decides_the_answer_is_used(sql):
    assert "views" in used_names(sql)


@pytest.mark.parametrize(
    "sql",
    [
        SHOWN,
        'SELECT "t"."views" AS "views" FROM "t" INNER JOIN "u" ON ("t"."u_id" = "u"."id")',
        'SELECT "u"."id", "t"."views", COUNT(*) AS "n" FROM "u" ORDER BY "u"."id" LIMIT 1',
    ],
)
def test_what_is_only_shown_is_not_used(sql):
    assert "views" not in used_names(sql)


def test_the_places_of_what_is_shown():
    assert shown_columns(SHOWN) == ["id", "views"]
    assert shown_columns('SELECT 1 AS "a", "t"."v" AS "b" FROM "t"') == ["", "v"]


ASSIGNED = {
    'UPDATE "t" SET "views" = %s WHERE "t"."id" = %s': {"views"},
    'UPDATE "t" SET "views" = ("t"."views" + %s), "n" = (CASE WHEN ("t"."id" = %s) THEN %s ELSE '
    'NULL END)::integer WHERE "t"."id" IN (%s, %s)': {"views", "n"},
    'UPDATE "t" SET "views" = "t"."views" + v.c0 FROM (VALUES (%s, %s)) AS v (pk, c0) '
    'WHERE "t"."id" = v.pk RETURNING "t"."id"': {"views"},
    'UPDATE "t" SET "views" = (SELECT COUNT(*) FROM "u" WHERE "u"."x" = %s), "n" = %s': {
        "views",
        "n",
    },
    'UPDATE "t" SET ("views", "n") = (%s, %s)': set(),
    "UPDATE t SET views = 1": set(),
    'UPDATE "t" SET "views" = 1; DELETE FROM "u"': set(),
    'DELETE FROM "t"': set(),
}


@pytest.mark.parametrize("sql", ASSIGNED)
def test_what_an_update_sets(sql):
    assert assigned_columns(sql) == ASSIGNED[sql]
