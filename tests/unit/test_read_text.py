"""What a SELECT depends on, read off its text: every table, every word not known as pure."""

import pytest

from cachepatterns.core.sqltext import read_text, tokens, unquote


@pytest.mark.parametrize(
    ("sql", "relations"),
    [
        ('SELECT "t"."a" FROM "t"', {"t": 1}),
        ('SELECT 1 FROM "t" INNER JOIN "u" ON ("t"."id" = "u"."t_id")', {"t": 1, "u": 1}),
        ('SELECT 1 FROM "t" LEFT OUTER JOIN "t" T3 ON ("t"."p" = T3."id")', {"t": 2}),
        ('SELECT 1 FROM "t" WHERE EXISTS(SELECT 1 AS "a" FROM "u" U0)', {"t": 1, "u": 1}),
        ('SELECT 1 FROM "t" WHERE "t"."id" IN (SELECT U0."id" FROM "t" U0)', {"t": 2}),
        ('(SELECT "a" FROM "t") UNION (SELECT "a" FROM "u")', {"t": 1, "u": 1}),
        ('SELECT COUNT(*) FROM (SELECT DISTINCT "a" FROM "t") subquery', {"t": 1}),
        ('SELECT 1 FROM "t", "u"', {"t": 1, "u": 1}),
        ("SELECT 1 FROM `t` JOIN `u` ON (`t`.`id` = `u`.`id`)", {"t": 1, "u": 1}),
        ('SELECT 1 FROM "we""ird"', {'we"ird': 1}),
        ('SELECT 1 FROM "dotted.name"', {"dotted.name": 1}),
        ("SELECT 'FROM \"t\"'", {}),
        ('SELECT 1 /* FROM "t" */ -- FROM "t"', {}),
    ],
    ids=lambda v: str(sorted(v) if isinstance(v, set | frozenset) else v)[:60],
)
def test_every_table_is_counted_at_whatever_depth_it_stands(sql, relations):
    found = read_text(sql)
    assert dict(found.relations) == relations
    assert set(relations) <= found.names
    assert all(found.times(name) == times for name, times in relations.items())
    assert found.times("elsewhere") == 0


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT COUNT(*) AS "__count", MAX("t"."a") FROM "t" GROUP BY 1 HAVING COUNT(*) > %s',
        'SELECT "t"."a" FROM "t" WHERE "t"."b" AT TIME ZONE %s BETWEEN %s AND %s LIMIT 21',
        'SELECT CASE WHEN "t"."a" THEN %s ELSE NULL END::numeric(8, 2) FROM "t"',
        'SELECT ROW_NUMBER() OVER (PARTITION BY "a" ORDER BY "b" DESC NULLS LAST) FROM "t"',
        'SELECT U0."a" FROM "t" U0 WHERE U0."a" LIKE %s ESCAPE \'\\\'',
        'SELECT DATE_TRUNC(%s, "t"."a")::date FROM "t" WHERE UPPER("t"."b"::text) = UPPER(%s)',
        'SELECT django_datetime_trunc(%s, "t"."a", %s, %s) FROM "t"',
        'SELECT "random", "now"."current_date" FROM "now"',
        "SELECT 'random() is only a text', 'nowhere' FROM \"t\"",
        'SELECT %(name)s, 1e10, 2.5E-3 FROM "t"',
        'SELECT JULIANDAY("a"), TIME(6), DATE("a") FROM "t"',
        'SELECT STRFTIME(\'%%Y\', "t"."a") FROM "t"',
        "SELECT 'nowhere to be seen', 'a sentence of more than six words, now' FROM \"t\"",
        'SELECT 1 FROM (SELECT 1) AS "x" ("x")',
    ],
)
def test_what_the_orm_compiles_has_no_foreign_words(sql):
    assert read_text(sql).foreign_words == ()


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ('SELECT RANDOM() FROM "t"', "random"),
        ('SELECT 1 FROM "t" ORDER BY RAND() ASC', "rand"),
        ('SELECT 1 FROM "t" WHERE "a" < STATEMENT_TIMESTAMP()', "statement_timestamp"),
        ('SELECT 1 FROM "t" WHERE "a" < CURRENT_TIMESTAMP', "current_timestamp"),
        ('SELECT current_user FROM "t"', "current_user"),
        ("SELECT current_setting('app.tenant')", "current_setting"),
        ("SELECT nextval('seq')", "nextval"),
        ('SELECT my_function("t"."a") FROM "t"', "my_function"),
        ('SELECT 1 FROM "t" JOIN unquoted ON true', "unquoted"),
        ('SELECT 1 FROM "t" WHERE EXISTS(SELECT 1 FROM "u" WHERE (("u"."a" < NOW())))', "now"),
        ("SELECT STRFTIME('%%Y-%%m-%%d', 'NOW') FROM \"t\"", "'now'"),
        ("SELECT 'today'::date", "'today'"),
        ("SELECT E'yesterday'::date", "e'yesterday'"),
        ("SELECT $$now$$::timestamptz", "$$now$$"),
        ("SELECT ' now '::timestamptz", "' now '"),
        ("SELECT 'today 10:00'::timestamptz", "'today 10:00'"),
        ("SELECT 'today,10:00'::timestamptz", "'today,10:00'"),
        (f"SELECT 'now{' ' * 90}'::timestamptz", f"'now{' ' * 90}'"),
        ('SELECT "random"() FROM "t"', "random"),
        ('SELECT 1 FROM "t" WHERE "getTotal"("t"."a") > 1', "gettotal"),
        ('SELECT JULIANDAY() FROM "t"', "julianday"),
        ('SELECT (TIME()) FROM "t"', "time"),
        ("SELECT STRFTIME('%%Y') FROM \"t\"", "strftime"),
        ('SELECT UNIX_TIMESTAMP() FROM "t"', "unix_timestamp"),
    ],
)
def test_a_word_that_is_not_known_to_be_pure_is_told_at_any_depth(sql, word):
    assert word in [found.lower() for found in read_text(sql).foreign_words]


def test_a_long_text_is_read_like_a_short_one():
    long = 'SELECT "a" FROM "t" WHERE "a" IN (' + ", ".join(["%s"] * 3000) + ") AND NOW() > 1"
    assert dict(read_text(long).relations) == {"t": 1}
    assert read_text(long).foreign_words == ("now",)


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("'it''s' \"a\"\"b\" `c`", ["string", "quoted", "quoted"]),
        ("E'a\\'b' $x$ ' $x$ $1", ["string", "dollar", "other", "number"]),
        ("a -- b\nc /* d */ e", ["word", "word", "word"]),
        ("%s %(a)s 1.5e3", ["param", "param", "number"]),
    ],
)
def test_tokens_know_strings_names_and_comments_apart(sql, kinds):
    assert [token.kind for token in tokens(sql)] == kinds


@pytest.mark.parametrize(("quoted", "name"), [('"a"', "a"), ('"a""b"', 'a"b'), ("`a``b`", "a`b")])
def test_names_are_unquoted(quoted, name):
    assert unquote(quoted) == name


def test_a_word_that_is_called_is_told_from_one_that_names_a_join():
    found = read_text(
        'SELECT cheap."sku" FROM "item" LEFT OUTER JOIN "item" cheap ON (dear(1) = 1)'
    )
    assert (found.foreign_words, found.called) == (("cheap", "dear"), {"dear"})


def test_a_harmless_word_may_be_a_table():
    sql = 'SELECT RANK() OVER (ORDER BY "a"), (SELECT 1 FROM log), POWER FROM "t", host JOIN rank'
    assert read_text(sql).bare == {"log", "host", "rank", "power"}  # after a comma too
