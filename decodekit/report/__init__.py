"""A run as one self-contained HTML page: its text, each step as a story, and the check of each draw."""

from decodekit.report.writing import html, write_report

__all__ = ["html", "write_report"]
