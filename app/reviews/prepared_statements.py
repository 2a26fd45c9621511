"""Statements that PostgreSQL parses once: one exchange for each execution, where pg8000 takes three."""

from __future__ import annotations

from typing import Any

from pg8000.converters import make_params

MAX_PREPARED = 100
"""Statements that a connection keeps prepared."""


class PreparedStatements:
    """Executes the statements of a connection of pg8000, in place of its `execute_unnamed`; forgets the oldest."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._execute = connection.execute_unnamed
        self._known: dict[str, tuple[Any, ...]] = {}

    def __call__(self, statement: str, vals: Any = (), oids: Any = (), stream: Any = None) -> Any:
        if oids or stream is not None:
            return self._execute(statement, vals, oids, stream)
        found = self._known.pop(statement, None)
        if found is None:
            found = self._connection.prepare_statement(statement, ())
            if len(self._known) >= MAX_PREPARED:
                oldest = next(iter(self._known))
                self._connection.close_prepared_statement(self._known.pop(oldest)[0])
        self._known[statement] = found
        name, columns, conversions = found
        params = make_params(self._connection.py_types, vals)
        return self._connection.execute_named(name, params, columns, conversions, statement)
