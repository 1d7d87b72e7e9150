"""Parts of a chain written in the syntax of `decodekit.plugin.one_line`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from decodekit.plugin import FunctionPlugin, parameter_model, registry

__all__ = ["write_part", "written"]


def write_part(name: str, parameters: Mapping[str, Any], spelled: str = "") -> str:
    """One processor or sampler in the syntax of `parse_chain`, the main parameter first, without None values.

    ``spelled`` is its name with its distribution, where it needs that.
    """
    spelled = spelled or name
    main_first = sorted(parameters, key=lambda key: key != name)
    given = {key: _scalar(parameters[key]) for key in main_first if parameters[key] is not None}
    if list(given) == [name]:
        return f"{spelled}={given[name]}"
    return f"{spelled}({', '.join(f'{key}={value}' for key, value in given.items())})" if given else spelled


def written(plugin: Any) -> str:
    """A built processor or sampler in the syntax of `parse_chain`, without default values."""
    description = registry.describe(plugin)
    target = plugin.function if isinstance(plugin, FunctionPlugin) else type(plugin)
    fields = parameter_model(target).model_fields if isinstance(plugin, BaseModel | FunctionPlugin) else {}
    own = {
        key: value for key, value in description["params"].items() if key not in fields or value != fields[key].default
    }
    name = description["name"]
    group = "samplers" if registry.is_sampler(name) else "processors"
    return write_part(name, own, registry.spelled(group, name, description["distribution"]))


def _scalar(value: Any) -> str:
    """JSON, which is also TOML except for a raw DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
