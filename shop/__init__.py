"""The demo: a small web shop that runs on cachepatterns."""
