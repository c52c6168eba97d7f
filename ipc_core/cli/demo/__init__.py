"""The job of `ipc-core demo`: every file of a folder is hashed by worker processes.

`worker` is the child's whole program. `pool` starts and ends the children, `files` finds and
reads what they hash, `job` hands it out and checks every answer.
"""
