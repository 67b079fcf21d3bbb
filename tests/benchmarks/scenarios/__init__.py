"""What no single call shows: many at once, long runs, and what is left of them.

A scenario has two halves in one file: `run` is the controller's, which has no Django; the other
functions are called in the contenders' processes (`Worker.tell`) with their `Bench`.
"""
