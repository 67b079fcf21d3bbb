"""An app that knows nothing of cachepatterns, as other people write them."""
