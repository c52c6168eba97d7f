"""The command line `ipc-core`; needs the extra `cli`."""
