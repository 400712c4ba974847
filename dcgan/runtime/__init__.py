"""The machine: device, processes, signals, threads, files.

Nothing is re-exported: `import dcgan` imports `openmp`, and must not import torch.
"""
