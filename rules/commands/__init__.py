"""Command lines in tool calls: read as a shell would, and matched by program, flags and targets.

shell.py        a POSIX command line → its pipelines
expand.py       braces and escapes in a word
powershell.py   the same for PowerShell and cmd.exe
unwrap.py       sudo, env, xargs, sh -c …: the commands that are run in the end
lines.py        which texts of a tool call are commands, and the text that rules look at
spec.py         `match: {command: …}`
"""
