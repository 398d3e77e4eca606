"""The tools of coding agents that write and read files, by exact name.

Exact, and never by a pattern: a tool that only looks like one of these may send what it is
given anywhere. Names of MCP servers' tools (`mcp__…`) are not among them.
"""

from collections.abc import Mapping
from typing import NamedTuple


class FileTool(NamedTuple):
    """The arguments that name its file, and those that are its content."""

    path: tuple[str, ...]
    content: tuple[str, ...] = ()


PATCHES = frozenset(("apply_patch",))  # whose text names its files itself
_PATH = ("file_path", "path", "filePath", "absolute_path", "target_file")
_TEXTS = ("content", "contents", "text", "file_text", "insert_text", "code_edit")
_CHANGES = ("old_string", "new_string", "oldString", "newString", "old_str", "new_str")
_EDIT = FileTool(_PATH, (*_TEXTS, *_CHANGES, "edits", "diff", "search", "replace"))
WRITERS: Mapping[str, FileTool] = {
    # Claude Code, and the text editor that Anthropic's API defines
    "Write": _EDIT,
    "Edit": _EDIT,
    "MultiEdit": _EDIT,
    "NotebookEdit": FileTool(("notebook_path",), ("new_source",)),
    "str_replace_editor": _EDIT,
    "str_replace_based_edit_tool": _EDIT,
    # Gemini CLI, Qwen Code
    "write_file": _EDIT,
    "replace": _EDIT,
    "edit": _EDIT,
    # opencode, Copilot, Cursor, Cline, Zed
    "write": _EDIT,
    "create_file": _EDIT,
    "edit_file": _EDIT,
    "insert_edit_into_file": FileTool(_PATH, ("code",)),
    "replace_string_in_file": _EDIT,
    "search_replace": _EDIT,
    "write_to_file": _EDIT,
    "replace_in_file": _EDIT,
}
_READ = FileTool(_PATH)
READERS: Mapping[str, FileTool] = {
    **WRITERS,  # which answer with the lines around what they wrote
    "Read": _READ,
    "NotebookRead": FileTool(("notebook_path",)),
    "View": _READ,
    "view": _READ,
    "read": _READ,
    "read_file": _READ,
    "view_file": _READ,
}
