"""Arrays, lists, numbers and strings from a file that was written with pickle, without running it.

A pickle is a program for a small machine. This one knows the instructions that build plain values, and those by which
numpy writes an array; at any other it stops. No name in the file is imported or called.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.bounded import require_memory
from condensery.errors import BadFile, one_line

_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.numeric", "_frombuffer"): "buffer",
    ("numpy._core.numeric", "_frombuffer"): "buffer",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "bytes",
}
"""The names that numpy's arrays and bytes of Python 3 need, and what they build here."""
_WHOLE = "biu"  # truth values and whole numbers: what archives of images hold
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8".split()
)


def read_literals(path: Path) -> Any:
    """The value that a pickle file holds.

    Returns:
        dicts, lists, tuples, numbers, text, bytes and numpy arrays of whole numbers. Strings of Python 2 are text,
        one character for each byte.

    Raises:
        BadFile: it holds anything else, in particular code; or is damaged.
    """
    try:
        require_memory(4 * path.stat().st_size, f"values of {path}")
        machine = _Machine()
        # From memory: reading from a file would allocate whatever length the file declares.
        for code, argument, _ in pickletools.genops(path.read_bytes()):
            machine.step(code.name, argument)
        return machine.stack[-1]
    except _Foreign as error:
        raise BadFile(
            f"{path} holds {error}, which is more than arrays, lists, numbers and strings: it is not read, and nothing "
            "in it was run; fetch the archive from its home page"
        ) from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise BadFile(f"cannot read {path}: {one_line(error)}; fetch it again") from error


class _Foreign(Exception):
    """An instruction or a name that builds something else."""


class _Mark:
    """The start of a list of values on the stack."""


class _Name(str):
    """A name of `_NAMES`, on the stack."""


class _DType:
    """An array type; the order of its bytes comes later in the file."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def type(self) -> np.dtype:
        if self.code[:1] not in _WHOLE or not self.code[1:].isdigit():
            raise _Foreign(f"an array of type {self.code!r:.20}")
        return np.dtype(self.order + self.code)


class _Array:
    """An array whose values come later in the file."""


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        stack = self.stack
        if name in _VALUES:
            stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME", "STOP"):
            return
        elif name == "MARK":
            stack.append(_Mark)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, attribute = argument.split(" ", 1) if name == "GLOBAL" else self._pop(2)
            stack.append(_known(module, attribute))
        elif name == "REDUCE":
            stack.append(_reduced(*self._pop(2)))
        elif name == "BUILD":
            self._build(*self._pop(2))
        else:
            self._collect(name)

    def _collect(self, name: str) -> None:
        """An instruction that makes or fills a list, a tuple or a dict."""
        stack = self.stack
        if name.startswith("EMPTY_") and name in ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"):
            stack.append({"LIST": list, "TUPLE": tuple, "DICT": dict}[name[6:]]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._pop(int(name[-1]))))
        elif name in ("TUPLE", "LIST", "DICT"):
            stack.append({"TUPLE": tuple, "LIST": list, "DICT": _pairs}[name](self._pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            values = self._pop(1) if name == "APPEND" else self._pop_to_mark()
            _of(list, stack[-1]).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._pop(2) if name == "SETITEM" else self._pop_to_mark()
            _of(dict, stack[-1]).update(_pairs(values))
        else:
            raise _Foreign(f"the instruction {name}")

    def _build(self, target: Any, state: Any) -> None:
        """Give an array or its type what it still needs."""
        if isinstance(target, _DType):
            if state[1] not in ("<", ">", "|", "="):
                raise _Foreign("an array of an unknown order of bytes")
            target.order = state[1].replace("|", "=")
            self.stack.append(target)
            return
        if not isinstance(target, _Array):
            raise _Foreign("the state of an object")
        _, shape, dtype, fortran, values = state
        made = _array(values, dtype, shape, "F" if fortran else "C")
        for key, value in self.memo.items():
            if value is target:
                self.memo[key] = made
        self.stack.append(made)

    def _pop(self, count: int) -> list[Any]:
        values = self.stack[-count:]
        if len(values) < count or any(value is _Mark for value in values):
            raise ValueError("values are missing")
        del self.stack[-count:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _Mark:  # an IndexError where there is none
            place -= 1
            if place < 0:
                raise ValueError("values are missing")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values


def _known(module: Any, attribute: Any) -> _Name:
    if (module, attribute) not in _NAMES:
        raise _Foreign(f"the name {module!s:.40}.{attribute!s:.40}")
    return _Name(_NAMES[module, attribute])


def _reduced(target: Any, given: Any) -> Any:
    """What a call of a known name would give."""
    if not isinstance(target, _Name):
        raise _Foreign("a call of something that is no name")
    if target == "bytes":
        return str(given[0]).encode("latin-1")
    if target == "dtype":
        return _DType(str(given[0]))
    if target == "array":
        return _Array()
    if target == "buffer":
        values, dtype, shape, order = given
        return _array(values, dtype, shape, order)
    raise _Foreign(f"a call of numpy.{target}")


def _array(values: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    block = values.encode("latin-1") if isinstance(values, str) else values
    if not isinstance(block, bytes) or not isinstance(dtype, _DType):
        raise _Foreign("an array of objects")
    return np.frombuffer(block, dtype.type()).reshape(
        [int(n) for n in shape], order="F" if order == "F" else "C"
    )


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {kind.__name__} is missing")
    return value


def _pairs(values: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn -> dict. Keys are short values, whose hash is known at once."""
    keys = values[::2]
    if len(values) % 2 or not all(isinstance(key, str | bytes | int) for key in keys):
        raise ValueError("a dict has a key that is neither text nor a number")
    return dict(zip(keys, values[1::2], strict=True))
