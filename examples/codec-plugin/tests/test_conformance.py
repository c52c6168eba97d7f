from ipc_core.testing import CodecConformance


class TestJson(CodecConformance):
    codec = "json"
