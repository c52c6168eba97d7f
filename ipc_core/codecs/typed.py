"""The codec `msgspec`: MessagePack, checked against the channel's type. Needs msgspec.

A message becomes an object of the declared type or an error, and decides nothing else: no code of
the peer's choosing runs, and an endpoint is of the declared class, which the message cannot change.
"""

from __future__ import annotations

from typing import Any, Union

from ipc_core.spi import Attach, Coder, DecodeError, NotSupportedError, Redeem

try:
    import msgspec
    from msgspec.msgpack import Decoder, Encoder, Ext

    from ipc_core.codecs.declared import endpoints
except ImportError as error:
    raise NotSupportedError(
        "the codec 'msgspec' needs msgspec; try: pip install 'ipc-core[msgspec]'"
    ) from error

_ATTACHED = 0x49
"""The code of the MessagePack extension that stands for an endpoint or region."""

_write_reference = Encoder().encode
_read_reference = Decoder(Union[int, list[int]]).decode


class MsgspecCodec:
    """A codec for the types that msgspec can describe.

    These are its Structs, dataclasses, TypedDicts, NamedTuples, enums, unions and containers of
    them. Endpoints and regions may be declared fields or items.
    """

    name = "msgspec"
    runs_code = False

    def bind(self, type: Any, attach: Attach, redeem: Redeem) -> Coder:
        """Return a coder for a type. Raises TypeError for one that msgspec cannot describe."""
        try:
            declared = endpoints(type)

            def enc_hook(obj: object) -> Ext:
                return Ext(_ATTACHED, _write_reference(attach(obj, declared)))

            def dec_hook(declared_type: Any, given: object) -> Any:
                if not isinstance(given, Ext) or given.code != _ATTACHED:
                    raise ValueError(f"Expected an attachment, got `{given.__class__.__name__}`")
                try:
                    return redeem(declared_type, _read_reference(given.data))
                except (DecodeError, msgspec.DecodeError) as error:
                    raise ValueError(str(error)) from error  # msgspec adds the place

            return _Coder(Encoder(enc_hook=enc_hook), Decoder(type, dec_hook=dec_hook))
        except Exception as error:
            raise TypeError(f"the codec 'msgspec' cannot carry {type!r}: {error}") from error


class _Coder:
    """An encoder and a decoder of msgspec, called by the core without a function in between."""

    __slots__ = ("decode", "encode")

    def __init__(self, encoder: Encoder, decoder: Decoder[Any]) -> None:
        self.encode = encoder.encode
        self.decode = decoder.decode


codec = MsgspecCodec()
