"""The machine: device, processes, signals, threads, files.

Nothing is re-exported: `threads` must be imported before torch, which other modules import.
"""
