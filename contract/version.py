"""The version that health answers, the image and the command report."""

VERSION = "2.0.0"
