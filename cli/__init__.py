"""The command. Rules work offline; the rest talks to control over HTTP."""
