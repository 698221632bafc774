"""A protocol as plain values: it travels to workers, and two comparisons can tell whether theirs are the same."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from condensery.errors import BadInput
from condensery.evaluation import Protocol


def protocol_record(protocol: Protocol) -> dict[str, Any]:
    """Every field but the summary; the augmenter, a function or a dataclass, by its name and fields.

    Raises:
        BadInput: the augmenter cannot be found by its name, or another field is not plain.
    """
    record = {f.name: getattr(protocol, f.name) for f in fields(protocol) if f.name != "summary"}
    augmenter: Any = protocol.augmenter
    with_fields = is_dataclass(augmenter) and not isinstance(augmenter, type)
    settings = asdict(augmenter) if with_fields else None  # type: ignore[call-overload, arg-type]
    named = type(augmenter) if with_fields else augmenter
    name = f"{getattr(named, '__module__', '')}:{getattr(named, '__qualname__', '')}"
    record["augmenter"] = {"name": name, "fields": settings}
    try:
        found = protocol_from(json.loads(json.dumps(record))).augmenter
    except (TypeError, ValueError, ImportError, AttributeError):
        found = None
    if found != augmenter:
        raise BadInput(
            f"protocol {protocol.name!r} cannot be sent to workers: its augmenter must be a function at the top of a "
            "module, or a dataclass with plain fields, its other fields numbers and words"
        )
    return record


def protocol_from(record: Mapping[str, Any]) -> Protocol:
    """Inverse of `protocol_record`. Only for records made in this session: it imports what they name."""
    augmenter = record["augmenter"]
    module, _, name = augmenter["name"].partition(":")
    found = getattr(importlib.import_module(module), name)
    settings = augmenter["fields"]
    found = found if settings is None else found(**settings)
    return Protocol(**{**record, "summary": "", "augmenter": found})
