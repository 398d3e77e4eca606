"""Reads the documents of calls, in a process apart for each call: what a hostile one breaks is that process alone.

A conversation sends its documents again with every turn, so their texts are remembered for a while.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from addons.calls.documents.job import LENGTH, NOTHING, SECONDS, Text
from addons.providers.provider import Document

logger = logging.getLogger("earthflow.proxy")

AT_ONCE = 2  # processes; each may take a processor for SECONDS
# Seconds that a call waits for its documents, with those before it.
PATIENCE = 2 * SECONDS
KEPT = 8 * 1024 * 1024  # characters of texts that are remembered


class DocumentReader:
    """Reads documents, and remembers their texts."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._texts: OrderedDict[bytes, Text] = OrderedDict()
        self._kept = 0

    async def read(self, documents: Mapping[int, Document]) -> dict[int, Text]:
        """The text of each document; nothing of those that cannot be read in time. Never raises."""
        names = await asyncio.to_thread(_names, documents)
        unknown = {
            name: documents[number]
            for number, name in names.items()
            if name not in self._texts
        }
        found: dict[bytes, Text] = {}
        if unknown:
            texts = await self._read(list(unknown.values()))
            found = dict(zip(unknown, texts, strict=True))
            for name, text in found.items():
                self._keep(name, text)
        return {
            number: found.get(name) or self._texts.get(name, NOTHING)
            for number, name in names.items()
        }

    async def _read(self, documents: Sequence[Document]) -> list[Text]:
        try:
            async with asyncio.timeout(PATIENCE), self._slots:
                return await _in_process(documents)
        except (TimeoutError, OSError, ValueError) as error:
            logger.warning("documents could not be read (%s)", type(error).__name__)
            return [NOTHING] * len(documents)

    def _keep(self, name: bytes, text: Text) -> None:
        self._texts[name] = text
        self._kept += len(text.text)
        while self._kept > KEPT:
            _, oldest = self._texts.popitem(last=False)
            self._kept -= len(oldest.text)


def _names(documents: Mapping[int, Document]) -> dict[int, bytes]:
    return {
        number: hashlib.sha256(_bytes(document)).digest()
        for number, document in documents.items()
    }


def _bytes(document: Document) -> bytes:
    return document if isinstance(document, bytes) else document.encode()


async def _in_process(documents: Sequence[Document]) -> list[Text]:
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
        sent = b"".join(
            piece
            for document in documents
            for piece in (
                LENGTH.pack(len(document), isinstance(document, str)),
                _bytes(document),
            )
        )
        said, _ = await process.communicate(sent)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    texts = [Text(*one) for one in json.loads(said)]
    if len(texts) != len(documents):
        raise ValueError("fewer texts than documents")
    return texts
