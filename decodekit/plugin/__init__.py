"""Plugins: their parameters, their contracts, and how they are found by name."""

from decodekit.plugin.parameters import FunctionPlugin, Plugin, parameter_model, validated

__all__ = ["FunctionPlugin", "Plugin", "parameter_model", "validated"]
