"""The child's program: hash the regions that the parent sends, until it closes its sender."""

from __future__ import annotations

import sys
from hashlib import sha256

import ipc_core as ipc

Reply = tuple[int, bytes]  # the request's number and the SHA-256 digest
Request = tuple[int, ipc.IpcSharedMemory, ipc.IpcSender[Reply]]


def serve(parent: ipc.IpcSender[ipc.IpcSender[Request]]) -> None:
    """Give the parent a sender for requests; answer each on the sender that came with it."""
    pair: tuple[ipc.IpcSender[Request], ipc.IpcReceiver[Request]] = ipc.channel()
    sender, requests = pair
    with sender:
        parent.send(sender)
    # From here on only the parent can send: the loop ends when it closes its sender or dies.
    with requests:
        for number, region, reply in requests:
            with region, reply:
                reply.send((number, sha256(region.buffer).digest()))


def main(server_name: str) -> None:
    # This sender stays open to the end: its disconnect tells the parent that the worker is gone.
    with ipc.IpcSender[ipc.IpcSender[Request]].connect(server_name) as parent:
        serve(parent)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ipc.BrokenChannelError:
        sys.exit(1)  # the parent is gone, and nobody waits for an answer
    except ipc.IpcIOError as error:
        sys.exit(f"demo worker: {error}")
