"""ipc-core codec: JSON, with endpoints and regions as `{"$ipc": [class, reference]}`."""

from __future__ import annotations

import json
from typing import Any

import ipc_core
from ipc_core.spi import Attach, Buffer, Coder, Redeem

ENDS = {
    end.__name__: end
    for end in (ipc_core.IpcSender, ipc_core.IpcReceiver, ipc_core.IpcBytesSender,
                ipc_core.IpcBytesReceiver, ipc_core.IpcSharedMemory)
}  # fmt: skip


class JsonCodec:
    name = "json"
    runs_code = False

    def bind(self, type: Any, attach: Attach, redeem: Redeem) -> Coder:
        if type is not Any:
            raise TypeError(f"the codec 'json' checks no types: it cannot carry {type!r} alone")
        return JsonCoder(attach, redeem)


class JsonCoder:
    def __init__(self, attach: Attach, redeem: Redeem) -> None:
        def write(obj: object) -> dict[str, Any]:
            return {"$ipc": [type(obj).__name__, attach(obj, [*ENDS.values()])]}

        def read(found: dict[str, Any]) -> Any:
            if found.keys() != {"$ipc"}:
                return found
            end, reference = found["$ipc"]
            return redeem(ENDS[end], reference)

        self._encode = json.JSONEncoder(default=write, separators=(",", ":")).encode
        self._decode = json.JSONDecoder(object_hook=read).decode

    def encode(self, obj: Any) -> bytes:
        return self._encode(obj).encode("utf-8", "surrogatepass")

    def decode(self, data: Buffer) -> Any:
        return self._decode(str(data, "utf-8"))


codec = JsonCodec()
