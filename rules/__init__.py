"""The rule language. Pure: no clock, no network, imports nothing of ours."""
