"""The time from the start of a child to its first message.

A spawned child imports its parent's script again, so this one imports nothing at its top.
"""

if __name__ == "__main__":
    from child_start import WORKS
    from interleave import main

    main(WORKS)
