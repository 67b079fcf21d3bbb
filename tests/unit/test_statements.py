"""What a statement does, read off its text. A write missed would be stale: doubt is a write."""

import pytest

from cachepatterns.core.sqltext import Kind, statement

# Statements whose one target is known: Django writes these, and people much like them.
TARGETED = [
    ('INSERT INTO "app_item" ("name") VALUES (%s)', "INSERT", "app_item"),
    ('INSERT INTO "app_item" ("name") VALUES (%s), (%s) RETURNING "id"', "INSERT", "app_item"),
    ("INSERT INTO app_item DEFAULT VALUES", "INSERT", "app_item"),
    ("insert into App_Item (name) values (%s)", "INSERT", "app_item"),
    ('INSERT INTO "app_item" SELECT * FROM "app_other"', "INSERT", "app_item"),
    ('INSERT INTO "app_item" ("a") VALUES (%s) ON CONFLICT DO NOTHING', "INSERT", "app_item"),
    ("INSERT OR IGNORE INTO app_item (a) VALUES (1)", "INSERT", "app_item"),
    ("INSERT IGNORE INTO `app_item` (`a`) VALUES (1)", "INSERT", "app_item"),
    ("REPLACE INTO app_item (a) VALUES (1)", "REPLACE", "app_item"),
    ("INSERT OR REPLACE INTO app_item (a) VALUES (1)", "REPLACE", "app_item"),
    ('UPDATE "app_item" SET "name" = %s WHERE "id" = %s', "UPDATE", "app_item"),
    ('update only "app_item" set a = 1', "UPDATE", "app_item"),
    ('UPDATE "shop"."app_item" SET "a" = 1', "UPDATE", "app_item"),
    ('UPDATE shop . app_item\n   SET "a" = 1;', "UPDATE", "app_item"),
    ('DELETE FROM "app_item"', "DELETE", "app_item"),
    ('DELETE FROM "app_item" WHERE "id" IN (SELECT "id" FROM "app_other")', "DELETE", "app_item"),
    ("DELETE FROM ONLY app_item WHERE a = 1 RETURNING id", "DELETE", "app_item"),
    ('UPDATE "do.tted" SET a = 1', "UPDATE", "do.tted"),
]

# Writes told only by all the names in them: the written table must be among those.
BROAD = [
    ("WITH x AS (DELETE FROM app_item RETURNING id) SELECT * FROM x", {"app_item"}),
    ("with a as (select 1), b as (update app_item set a=1 returning *) select 1", {"app_item"}),
    ("WITH x AS (SELECT 1) INSERT INTO app_item SELECT * FROM x", {"app_item"}),
    ("SELECT * INTO app_copy FROM app_item", {"app_copy"}),
    ("EXPLAIN ANALYZE UPDATE app_item SET a = 1", {"app_item"}),
    ("/* hi */ DELETE FROM app_item -- all of it", {"app_item"}),
    ("-- hi\nUPDATE app_item SET a = 1", {"app_item"}),
    ("DELETE FROM app_item USING app_other WHERE true", {"app_item"}),
    ("UPDATE app_item AS i SET a = 1", {"app_item"}),
    ("UPDATE app_item SET(a, b) = (1, 2)", {"app_item"}),
    ("UPDATE app_item i JOIN app_other o ON true SET i.a = 1", {"app_item", "app_other"}),
    ("UPDATE app_item/* c */SET a = 1", {"app_item"}),
    ('INSERT INTO "we""ird" (a) VALUES (1)', {'we"ird'}),
    ('UPDATE "shop"."we""ird" SET a = 1', {'we"ird'}),
    ("DELETE FROM app_item WHERE a = ';'", {"app_item"}),
    # A semicolon anywhere is doubt enough.
    ("SELECT ';' FROM app_item", {"app_item"}),
    ("INSERT INTO db.shop.app_item (a) VALUES (1)", {"app_item"}),
    ("UPDATE app_item SET a = 1; UPDATE app_other SET a = 2", {"app_item", "app_other"}),
    ("SELECT 1; DELETE FROM app_item", {"app_item"}),
    ("TRUNCATE app_item, app_other CASCADE", {"app_item", "app_other"}),
    ('TRUNCATE TABLE "app_item" RESTART IDENTITY', {"app_item"}),
    ("MERGE INTO app_item USING app_other ON true WHEN MATCHED THEN DELETE", {"app_item"}),
    ("COPY app_item (a) FROM STDIN", {"app_item"}),
    ("ALTER TABLE app_item ADD COLUMN a int", {"app_item"}),
    ("DROP TABLE app_item", {"app_item"}),
    ("LOAD DATA INFILE 'x' INTO TABLE app_item", {"app_item"}),
    ("REFRESH MATERIALIZED VIEW app_item", {"app_item"}),
    # The word ends where the name ends, not where a letter of VALUES or DEFAULT stands.
    ("INSERT INTO product/* c */(name) VALUES (1)", {"product"}),
    ("INSERT INTO video--c\n(name) VALUES (1)", {"video"}),
    ("INSERT INTO child$d (name) VALUES (1)", {"child$d"}),
    ("DELETE FROM app_item$ WHERE true", {"app_item$"}),
]

READS = [
    'SELECT "a" FROM "app_item"',
    "  select 1",
    "(SELECT 1) UNION (SELECT 2)",
    'SELECT 1 FROM "app_item" FOR UPDATE',
    'SELECT 1 FROM "app_item" FOR NO KEY UPDATE OF "app_item" SKIP LOCKED',
    "SELECT REPLACE(name, 'a', 'b') FROM app_item",
    "SELECT 'DELETE FROM app_item'",
    'SELECT "update", "delete" FROM "insert"',
    "SELECT $$ DELETE FROM app_item $$",
    "SELECT E'it\\'s DELETE' FROM app_item",
    "SELECT 1 -- DELETE FROM app_item",
    "SELECT 1 /* UPDATE app_item SET a = 1 */",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "VALUES (1)",
    "EXPLAIN SELECT 1",
    "SHOW search_path",
    "SELECT deleted, updated_at FROM app_item",
]


@pytest.mark.parametrize(
    ("sql", "verb", "target"),
    TARGETED,
    ids=lambda v: str(sorted(v) if isinstance(v, set | frozenset) else v)[:60],
)
def test_a_plain_write_names_its_one_table(sql, verb, target):
    found = statement(sql)
    assert (found.kind, found.verb, found.target) == (Kind.WRITE, verb, target)
    assert found.names == {target}


@pytest.mark.parametrize(
    ("sql", "tables"),
    BROAD,
    ids=lambda v: str(sorted(v) if isinstance(v, set | frozenset) else v)[:60],
)
def test_an_involved_write_names_its_tables_among_others(sql, tables):
    found = statement(sql)
    assert found.kind is Kind.WRITE
    assert tables <= found.names
    assert found.target is None


@pytest.mark.parametrize("sql", READS)
def test_a_read_is_a_read_whatever_its_strings_and_comments_say(sql):
    assert statement(sql).kind is Kind.READ


@pytest.mark.parametrize(
    "sql",
    [
        "CALL restock()",
        "DO $$ BEGIN UPDATE app_item SET a = 1; END $$",
        "EXECUTE prepared (1)",
        "exec restock",
        "SELECT 1; CALL restock()",
        "BEGIN; DO 'x'; COMMIT",
        "CREATE FUNCTION f() RETURNS int AS $$ DELETE FROM t; SELECT 1 $$ LANGUAGE sql",
        "CLUSTER app_item",
        "IRGENDWAS app_item",
        "EXPLAIN ANALYZE EXECUTE prepared",
        "explain (analyze, format json) execute prepared (1)",
        'UPDATE U&"app\\005Fitem" SET a = 1',
        "DELETE FROM u&\"app!005Fitem\" UESCAPE '!'",
        'WITH x AS (DELETE FROM U&"app\\005Fitem" RETURNING id) SELECT * FROM x',
        'SELECT 1; UPDATE U&"app\\005Fitem" SET a = 1',
    ],
)
def test_what_may_write_anywhere_is_unknown(sql):
    assert statement(sql).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "  ",
        "-- nothing",
        'SAVEPOINT "s1"',
        'RELEASE SAVEPOINT "s1"',
        'ROLLBACK TO SAVEPOINT "s1"',
        "BEGIN",
        "COMMIT",
        "LOCK TABLE app_item IN EXCLUSIVE MODE",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH FORWARD 10 FROM c",
        "PRAGMA foreign_keys = ON",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET LOCAL statement_timeout = 5",
        "SET lock_timeout TO '1s'",
        "VACUUM ANALYZE app_item",
        "LISTEN channel",
    ],
)
def test_what_changes_no_data_is_neutral(sql):
    assert statement(sql).kind is Kind.NEUTRAL


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SET search_path TO other", Kind.SESSION),
        ("SET SESSION search_path = other", Kind.SESSION),
        ("SET ROLE reader", Kind.SESSION),
        ("RESET ALL", Kind.SESSION),
        ("SELECT set_config('app.tenant', '7', false)", Kind.SESSION),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Kind.SESSION),
        ("SET LOCAL search_path TO other", Kind.TRANSACTION),
        ("SET LOCAL ROLE reader", Kind.TRANSACTION),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Kind.TRANSACTION),
    ],
)
def test_what_changes_the_view_of_a_connection_says_for_how_long(sql, kind):
    assert statement(sql).kind is kind


def test_a_long_statement_is_read_like_a_short_one():
    values = ", ".join(["(%s, %s)"] * 3000)
    found = statement(f'INSERT INTO "app_item" ("a", "b") VALUES {values}')
    assert (found.kind, found.target) == (Kind.WRITE, "app_item")
    assert statement(f"SELECT 1 WHERE 'x' IN ({values}) -- DELETE").kind is Kind.READ
