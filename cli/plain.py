"""Text of others for a terminal, which must not obey it."""


def plain(text: str) -> str:
    """A caller's text for a terminal.

    Control characters, those of C1 included, are written out.
    """
    return "".join(
        one if one.isprintable() or one == " " else f"\\x{ord(one):02x}" for one in text
    )
