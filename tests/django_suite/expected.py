"""What Django's tests assert that can not hold with a cache, and why. Nothing else may fail."""

EXPECTED: dict[str, str] = {}
