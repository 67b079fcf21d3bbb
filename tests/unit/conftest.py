from hypothesis import HealthCheck, settings

# No file of past failures is kept, and a busy machine is no reason to fail.
settings.register_profile(
    "tests",
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")
