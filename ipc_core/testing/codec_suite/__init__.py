"""The tests that every codec passes."""

from ipc_core.testing.codec_suite.test_ends import TestCodecEnds
from ipc_core.testing.codec_suite.test_trust import TestCodecTrust
from ipc_core.testing.codec_suite.test_values import TestCodecValues


class CodecConformance(TestCodecValues, TestCodecEnds, TestCodecTrust):
    """Every test of a codec. Derive a class and set `codec` to the name of yours.

    `samples` are pairs of a type to bind to and an object of it that the codec carries; without
    any of your own they are those that JSON has too.
    """
