"""The version of Earthflow, in health, the image and the command."""

VERSION = "2.0.0"
