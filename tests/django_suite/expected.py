"""What Django's tests assert that can not hold with a cache, and why. Nothing else may fail."""

RETURNING = "it counts the columns that the UPDATE names, which also tells old and new values"
COMPILED = "it looks for what compiling leaves in the query, which need not be compiled"

EXPECTED: dict[str, str] = {
    "composite_pk.test_update.CompositePKUpdateTests.test_save_user": RETURNING,
    "composite_pk.test_update.CompositePKUpdateTests.test_update_fields_deferred": RETURNING,
    "queries.tests.Queries1Tests.test_tickets_2076_7256": COMPILED,
}
