"""The cache against the database: random questions between random writes, compared."""
