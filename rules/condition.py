"""`when` -> one callable over (exchange, part). A clause on `role` or `part` speaks of the part, all others of the call."""

import re
from collections.abc import Callable
from fnmatch import translate

from rules.exchange import Exchange, Part
from rules.model import Clause, Field
from rules.reader import SIZE

Condition = Callable[[Exchange, Part | None], bool]

UNITS = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}


def compile_clause(clause: Clause) -> Condition:
    """The clause as a function. A clause on the part does not hold where there is no part."""
    if isinstance(clause, Field):
        return _field(clause)
    conditions = [compile_clause(inner) for inner in clause.clauses]
    if clause.how == "any":
        return lambda exchange, part: any(condition(exchange, part) for condition in conditions)
    if clause.how == "not":
        return lambda exchange, part: not any(condition(exchange, part) for condition in conditions)
    return lambda exchange, part: all(condition(exchange, part) for condition in conditions)


def speaks_of_parts(clause: Clause) -> bool:
    """Whether the clause cannot be decided from the call alone."""
    if isinstance(clause, Field):
        return clause.name in ("role", "part")
    return any(speaks_of_parts(inner) for inner in clause.clauses)


def _field(field: Field) -> Condition:
    name, values = field.name, frozenset(field.values)
    match name:
        case "role":
            return lambda exchange, part: part is not None and part.role in values
        case "part":
            return lambda exchange, part: part is not None and part.kind in values
        case "unreadable":
            return lambda exchange, part: not values.isdisjoint(exchange.unreadable)
        case "stream":
            return lambda exchange, part: str(exchange.stream).lower() in values
        case "size":
            return _size(field.values[0])
        case "direction" | "coverage":
            return lambda exchange, part: getattr(exchange, name) in values
    # A glob list, as one linear pattern; hosts, methods and models are compared without regard to case.
    pattern = re.compile("|".join(translate(value.lower()) for value in field.values))
    return lambda exchange, part: pattern.match(getattr(exchange, name).lower()) is not None


def _size(comparison: str) -> Condition:
    parsed = SIZE.fullmatch(comparison)
    if parsed is None:
        raise ValueError(comparison)  # the reader complained of it already
    limit = int(parsed[2]) * UNITS[parsed[3]]
    match parsed[1]:
        case "<":
            return lambda exchange, part: exchange.size < limit
        case "<=":
            return lambda exchange, part: exchange.size <= limit
        case ">":
            return lambda exchange, part: exchange.size > limit
    return lambda exchange, part: exchange.size >= limit
