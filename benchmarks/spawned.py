"""What a spawned child runs. It imports nothing, as the child's start is being measured."""


def say_ready(writer):
    writer.send("ready")
