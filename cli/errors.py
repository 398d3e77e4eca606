"""The error of a command: one sentence, and an exit status that scripts can tell apart."""

FAILED, USAGE, AUTHENTICATION, BAD_CONFIGURATION = 1, 2, 4, 78
FAULT = 70  # sysexits.h EX_SOFTWARE: ours


class CommandError(Exception):
    """Ends the command with its sentence on standard error, and its status."""

    def __init__(self, sentence: str, status: int = FAILED):
        super().__init__(sentence)
        self.status = status
