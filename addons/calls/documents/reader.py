"""Reads the documents of calls, each in a process of its own: what a hostile one breaks is that process alone.

A conversation sends its documents again with every turn, so what was read is remembered for a while. What could not be read in time is not.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Mapping

from addons.calls.documents.job import NOTHING, Text
from addons.providers.provider import Document

logger = logging.getLogger("earthflow.proxy")

AT_ONCE = 2  # processes of all tenants; one of each tenant
PATIENCE = 20.0  # seconds that a call waits for its documents, with those before it
# Documents of a call that are read, and characters of all their texts, which are judged.
MOST, MOST_TEXT = 50, 8 * 1024 * 1024
KEPT = 8 * 1024 * 1024  # characters of texts that are remembered
EACH = 200  # characters that an entry costs besides its text


class DocumentReader:
    """Reads documents, and remembers their texts."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._of_tenant: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._texts: OrderedDict[bytes, Text] = OrderedDict()
        self._kept = 0

    async def read(
        self, documents: Mapping[int, Document], tenant: str = ""
    ) -> dict[int, Text]:
        """The text of each document; nothing of those that cannot be read in time. Never raises."""
        names = await asyncio.to_thread(_names, documents)
        known = {name: self._texts[name] for name in names.values() if name in self._texts}  # fmt: skip
        unread = {
            name: documents[number]
            for number, name in list(names.items())[:MOST]
            if name not in known
        }
        if unread:
            try:
                async with asyncio.timeout(PATIENCE), self._of_tenant[tenant]:
                    for name, document in unread.items():
                        async with self._slots:
                            known[name] = await self._read(name, document)
            except TimeoutError:
                logger.warning("documents could not be read in time")
        return _bounded({number: known.get(name, NOTHING) for number, name in names.items()})  # fmt: skip

    async def _read(self, name: bytes, document: Document) -> Text:
        """Its text; nothing where its process ended before it said so."""
        try:
            text = await _in_process(document)
        except (OSError, ValueError) as error:
            logger.warning("a document could not be read (%s)", type(error).__name__)
            return NOTHING
        self._keep(name, text)
        return text

    def _keep(self, name: bytes, text: Text) -> None:
        self._forget(name)
        self._texts[name] = text
        self._kept += len(text.text) + EACH
        while self._kept > KEPT:
            self._forget(next(iter(self._texts)))

    def _forget(self, name: bytes) -> None:
        if (text := self._texts.pop(name, None)) is not None:
            self._kept -= len(text.text) + EACH


def _bounded(texts: Mapping[int, Text]) -> dict[int, Text]:
    """The texts, as far as there is room for them in a call."""
    left, bounded = MOST_TEXT, {}
    for number, found in texts.items():
        fits = len(found.text) <= left
        bounded[number] = found if fits else Text(found.text[:left], whole=False)
        left = max(0, left - len(found.text))
    return bounded


def _names(documents: Mapping[int, Document]) -> dict[int, bytes]:
    return {
        number: hashlib.sha256(_kind(document) + _bytes(document)).digest()
        for number, document in documents.items()
    }


def _kind(document: Document) -> bytes:
    """Whether it is base64, as the process reads it."""
    return b"\1" if isinstance(document, str) else b"\0"


def _bytes(document: Document) -> bytes:
    return document if isinstance(document, bytes) else document.encode()


async def _in_process(document: Document) -> Text:
    """Raises OSError or ValueError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "addons.calls.documents",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        said, _ = await process.communicate(_kind(document) + _bytes(document))
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise ValueError("its process died")
    return Text(*await asyncio.to_thread(json.loads, said))
