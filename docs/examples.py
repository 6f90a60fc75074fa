"""Lets the site's builder know what it does not know by itself: `Example:` in a docstring, the value of a default."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the section while the package is read: the builder knows `Examples:` alone."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)


class Defaults(griffe.Extension):
    """Shows the value of a default, and not the name of the constant that holds it."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called once everything has been read, and before the signatures of dataclasses are made."""
        for module in _modules(pkg):
            for member in module.members.values():
                if member.is_alias:
                    continue
                if isinstance(member, griffe.Function):
                    for parameter in member.parameters:
                        parameter.default = _value(parameter.default, module)
                elif isinstance(member, griffe.Class):
                    for attribute in member.attributes.values():
                        attribute.value = _value(attribute.value, module)


def _modules(module: griffe.Module) -> list[griffe.Module]:
    below = [each for inner in module.modules.values() if not inner.is_alias for each in _modules(inner)]
    return [module, *below]


def _value(default: Any, module: griffe.Module) -> Any:
    """What a constant of the package is defined as; `None`, so no default, for a `field()` without one."""
    name = str(default)
    if name == "field()":
        return None
    if not re.fullmatch(r"[A-Z][A-Z_]+", name) or name not in module.members:
        return default
    constant = module.members[name]
    try:
        return (constant.final_target if constant.is_alias else constant).value
    except griffe.AliasResolutionError:
        return default
