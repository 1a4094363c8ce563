"""The database's versions: versions/ holds one Alembic migration for each, named by its number."""
