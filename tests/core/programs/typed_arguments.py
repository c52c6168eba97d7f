"""Typed and limited ends as arguments of a process: `typed_arguments.py METHOD`."""

from __future__ import annotations

import multiprocessing
import sys

import msgspec

import ipc_core as ipc
from ipc_core.testing.messages import CODEC, Reply

SECONDS = 30


class Job(msgspec.Struct):
    """A class of the main program, which multiprocessing's child imports too."""

    number: int
    answer_to: ipc.IpcSender[Reply]


def answer(jobs: ipc.IpcReceiver[Job], raw: ipc.IpcBytesSender) -> None:
    """Answer a job; report whether the channel's limits came along."""
    job = jobs.recv()
    assert type(job) is Job
    with job.answer_to as tx:
        tx.send(Reply(2 * job.number))
    try:
        raw.send(bytes(11))
    except ipc.EncodeError:
        raw.send(b"refused")


def main(method: str) -> None:
    jobs_tx, jobs_rx = ipc.channel(Job, codec=CODEC)
    raw, raw_rx = ipc.bytes_channel(max_message=10)
    process = multiprocessing.get_context(method).Process(target=answer, args=(jobs_rx, raw))
    process.start()
    jobs_rx.close()
    raw.close()
    reply_tx, reply_rx = ipc.channel(Reply, codec=CODEC)
    jobs_tx.send(Job(21, reply_tx))
    assert reply_rx.try_recv_timeout(SECONDS) == Reply(42)
    assert raw_rx.try_recv_timeout(SECONDS) == b"refused"
    process.join(SECONDS)
    assert process.exitcode == 0


if __name__ == "__main__":
    main(sys.argv[1])
