"""Annotations can be evaluated, and generic classes know how many types they take."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import ipc_core
from ipc_core import spi, testing

PUBLIC = [
    pytest.param(public, id=f"{module.__name__}.{name}")
    for module in (ipc_core, spi, testing)
    for name in module.__all__
    if inspect.isclass(public := getattr(module, name)) or inspect.isroutine(public)
]


def annotated(public: Any) -> Iterator[Any]:
    """Yield an object, and the functions of a class with its properties' getters."""
    yield public
    for cls in inspect.getmro(public) if inspect.isclass(public) else ():
        if not cls.__module__.startswith("ipc_core") or ".suite." in cls.__module__:
            continue
        for member in vars(cls).values():
            function = getattr(member, "fget", getattr(member, "__func__", member))
            if inspect.isfunction(function):
                yield function


@pytest.mark.parametrize("public", PUBLIC)
def test_hints_of_public_names(public: Any) -> None:
    for each in annotated(public):
        typing.get_type_hints(each)


def test_hints_are_the_types() -> None:
    hints = typing.get_type_hints(ipc_core.IpcBytesSender.send)
    assert hints == {"data": bytes | bytearray | memoryview, "return": type(None)}
    assert typing.get_type_hints(ipc_core.IpcReceiver.to_stream)["return"].__origin__ is (
        ipc_core.IpcStream
    )
    assert typing.get_type_hints(ipc_core.IpcReceiver.fileno)["return"] == (int | None)
    assert typing.get_type_hints(ipc_core.set_default_backend)["name"] == (str | None)
    assert typing.get_type_hints(spi.OsIpcSender)["kind"] == typing.ClassVar[spi.Kind]


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (ipc_core.IpcSender, (int, str)),
        (ipc_core.IpcReceiver, (int, str)),
        (ipc_core.IpcOneShotServer, ()),
        (ipc_core.IpcBytesReceiver, (bytes,)),
        (spi.RegionHandle, (int, int)),
    ],
)
def test_another_number_of_types_is_refused(cls: Any, arguments: tuple[type, ...]) -> None:
    with pytest.raises(TypeError, match=f"{cls.__name__} takes . type argument"):
        cls[arguments]


def test_one_type_is_taken() -> None:
    assert typing.get_args(ipc_core.IpcSender[int]) == (int,)
    assert typing.get_origin(ipc_core.IpcReceiver[list[int]]) is ipc_core.IpcReceiver


def test_a_name_that_typing_lacks() -> None:
    program = "import ipc_core._typing as t; t.Nonsense"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "AttributeError" in run.stderr
