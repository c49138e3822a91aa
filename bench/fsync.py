#!/usr/bin/env python3
"""Median time of one 4 KiB write with fsync in a folder: what every durable figure stands on.  usage: fsync.py DIR"""
import os, sys, tempfile, time
times = []
with tempfile.NamedTemporaryFile(dir=sys.argv[1]) as f:
    for _ in range(200):
        f.write(os.urandom(4096)); f.flush()
        t = time.perf_counter(); os.fsync(f.fileno()); times.append(time.perf_counter() - t)
times.sort()
print(f'fsync p50 {times[100] * 1000:.2f} ms, p95 {times[190] * 1000:.2f} ms')
