"""``decodekit view``: the tokens of a trace, walked with keys; or the same as plain text."""
