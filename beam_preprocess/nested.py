"""Names of nested columns: `event.item`, a key of an object, `events[].item`, one of a list."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from beam_preprocess.formats import LIST


def object_names(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of all values in an object of JSON; a list's are those of its elements."""
    for key, inner in value.items():
        name = f"{prefix}{key}"
        elements = inner if isinstance(inner, list) and LIST not in prefix else [inner]
        if elements is inner:
            name += LIST
        for element in elements:
            if isinstance(element, dict):
                yield from object_names(element, f"{name}.")
            else:
                yield name


def type_names(fields: pa.Schema | pa.StructType, prefix: str = "") -> dict[str, pa.DataType]:
    """Return the types of all columns by name, also of those in structs and lists of structs."""
    found: dict[str, pa.DataType] = {}
    for field in fields:
        kind, name = field.type, f"{prefix}{field.name}"
        if _is_list(kind) and LIST not in prefix:
            kind, name = kind.value_type, f"{name}{LIST}"
        found |= type_names(kind, f"{name}.") if pa.types.is_struct(kind) else {name: kind}
    return found


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def root(name: str) -> str:
    """Return the name of the outermost column."""
    return name.partition(".")[0].removesuffix(LIST)
