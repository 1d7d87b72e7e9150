"""The servers we know, one a file."""
