"""The `earthflow` command. Rules work offline; all else talks to control over HTTP."""
