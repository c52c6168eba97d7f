"""How objects become bytes."""

from ipc_core.codecs.pickled import PickleCodec

default_codec = PickleCodec()

__all__ = ["PickleCodec", "default_codec"]
