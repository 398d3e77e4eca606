"""Reads a command line of PowerShell, or of cmd.exe: words, quotes, `;`, `|`, `&`.

    Remove-Item -Recurse -Force "C:\\"; dir | iex      → [[Remove-Item -Recurse -Force C:\\]], [[dir], [iex]]

PowerShell escapes with a backtick, cmd.exe with `^`; neither has backslash escapes. Total:
any text gives pipelines.
"""

from rules.commands.shell import MAX_COMMANDS, MAX_TEXT, Command, Script

ENDS = ";\n&"


def parse(text: str, *, escape: str = "`") -> Script:
    """The pipelines of a text. `escape` takes a sign's meaning away."""
    script = Script(cut=len(text) > MAX_TEXT)
    pipeline, command, word = [], Command(), list[str]()
    started, quote, at = False, "", 0
    text = text[:MAX_TEXT] + "\n"
    while at < len(text) and len(script.pipelines) < MAX_COMMANDS:
        char = text[at]
        at += 1
        if char == escape and quote != "'":
            word.append(text[at : at + 1])
            at, started = at + 1, True
        elif quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "\"'" and (char == '"' or escape == "`"):
            quote, started = char, True
        elif char in " \t\r" or char in ENDS or char in "|(){}":
            if word or started:
                command.words.append("".join(word))
            word, started = [], False
            if char not in " \t\r":
                if command.words:
                    pipeline.append(command)
                command = Command()
            if char in ENDS and pipeline:
                script.pipelines.append(pipeline)
                pipeline = []
        else:
            word.append(char)
    script.cut = script.cut or at < len(text)
    if pipeline:
        script.pipelines.append(pipeline)
    return script
