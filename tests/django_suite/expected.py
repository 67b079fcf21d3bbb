"""What Django's tests assert that can not hold with a cache, and why. Nothing else may fail."""

RETURNING = "it counts the columns that the UPDATE names, which also tells old and new values"

EXPECTED: dict[str, str] = {
    "composite_pk.test_update.CompositePKUpdateTests.test_save_user": RETURNING,
    "composite_pk.test_update.CompositePKUpdateTests.test_update_fields_deferred": RETURNING,
}
