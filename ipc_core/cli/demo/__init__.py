"""The job of `ipc-core demo`: every file of a folder is hashed by worker processes.

`worker` is the child's whole program. `pool` starts and ends the children, `files` finds the files
and loads them into shared memory, `job` hands them out and checks every answer, and `view` shows
the progress and the result.
"""
