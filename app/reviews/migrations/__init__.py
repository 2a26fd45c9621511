"""The steps from one schema of the store to the next, in Alembic's form. The store runs them when it opens."""
