"""The function of a spawned child. It imports nothing, as the child's start is measured."""


def say_ready(writer):
    writer.send("ready")
