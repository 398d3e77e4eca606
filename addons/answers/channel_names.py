"""The channels of a text of an answer: the earlier texts to which a client may append it.

Clients differ in what they join: some look at the path, some at an index, some take
everything of one kind. So a text belongs to several channels at once, and
`rules.stream` releases it once it is settled in each:

    ("apart", kind, event, signs, 0, "choices", 0, "delta", "content")   path and all indexes
    ("place", kind, signs, "choices", 0, "delta", "content")             path, and the object's type
    ("place", kind, "choices", 0, "delta", "content")                    path alone
    ("index", kind, "index", 0, "choices")                               whatever has this index
    ("owner", kind, "item_id", "msg_1", "delta")                         whatever has this owner
    ("key", kind, "content")                                             whatever has this key
    (ALL, kind)                                                          everything of this kind
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rules.channels import ALL, Name
from rules.leaves import Leaf

ORDERED_INDEXES = (
    "output_index",
    "content_index",
    "summary_index",
    "contentBlockIndex",
    "index",
)
INDEXES = frozenset(ORDERED_INDEXES)
# Keys whose value says to which response a text belongs
OWNERS = ("response_id", "item_id")

Ids = tuple[int, ...]


def channels_of(leaf: Leaf, event: str, kind: str, name: str) -> tuple[Name, ...]:
    """The channels of a text; see above.

    `signs` are the `type` of the innermost object and its keys that are true: two
    objects at one path that differ in these are kept apart.
    """
    inner = leaf.around[-1] if leaf.around else None
    signs = (
        repr(
            [
                (key, value)
                for key, value in inner.items()
                if value is True or key == "type"
            ]
        )
        if type(inner) is dict
        else ""
    )
    indexes: list[Name] = []
    for depth, container in enumerate(leaf.around):
        if type(container) is dict and not INDEXES.isdisjoint(container):
            way = tuple(key for key in leaf.path[:depth] if type(key) is str)
            indexes += [
                ("index", kind, key, _number(container[key]), *way)
                for key in ORDERED_INDEXES
                if key in container
            ]
    outer = leaf.around[0] if leaf.around else None
    owners = [key for key in OWNERS if key in outer] if type(outer) is dict else ()
    indexes += [
        ("owner", kind, key, str(outer[key]), *leaf.path)
        for key in owners
        if outer is not None
    ]
    return (
        ("apart", kind, event, signs, *ids_of(leaf.around), *leaf.path),
        ("place", kind, signs, *leaf.path),
        ("place", kind, *leaf.path),
        *indexes,
        ("key", kind, name),
        (ALL, kind),
    )


def _number(index: Any) -> int:
    """An index as a number, however it was written: 1, "1", 1.0."""
    for read in (int, lambda written: int(float(written))):
        with suppress(TypeError, ValueError, OverflowError):
            return int(read(index))
    return 0


def ids_of(around: Sequence[Any]) -> Ids:
    """The indexes of all objects around a text."""
    ids: list[int] = []
    for container in around:
        if type(container) is dict and not INDEXES.isdisjoint(container):
            ids += [
                _number(container[key])
                for key in ORDERED_INDEXES
                if container.get(key) is not None
            ]
    return tuple(ids)
