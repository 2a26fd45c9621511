"""The process: cores, memory, subprocesses, logs, metrics, traces."""
