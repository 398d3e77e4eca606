"""Originals return in an answer, in place of the placeholders that replaced them in its call.

tools.py       the tools that write and read files, by exact name
paths.py       which file a call of a tool writes, or shows the content of
places.py      places of a text where no original returns: URLs, targets of links, attributes
original.py    what a placeholder replaced, and which files it came from
restorer.py    decides for one text or the arguments of one call, and makes the edits
spans.py       a text with its originals, and what covers them there
streamed.py    the same in a stream: a text with a placeholder waits until that is decided
"""
