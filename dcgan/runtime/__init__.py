"""The machine: device, processes, signals, threads, files. Nothing is re-exported."""
