"""The determinism audit: how far a model's answers move with the schedule on which they are computed."""

from decodekit.analysis.audit.axes import AXES, DEFAULT
from decodekit.analysis.audit.report import AuditReport, Control, Outcome, audit
from decodekit.analysis.audit.verdicts import Measured

__all__ = ["AXES", "DEFAULT", "AuditReport", "Control", "Measured", "Outcome", "audit"]
