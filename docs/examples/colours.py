#!/usr/bin/env python3
"""Colours as vectors in a vecfs mount: colours.py MOUNT"""
import struct
import sys
from pathlib import Path

mount = Path(sys.argv[1])
colours = {"red": (1, 0, 0), "orange": (1, 0.5, 0), "blue": (0, 0, 1)}


def floats(numbers):
    """Numbers as little-endian float32."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


for name, numbers in colours.items():
    (mount / "vectors" / name).write_bytes(floats(numbers))

with open(mount / "query/2/run", "r+b", buffering=0) as run:
    run.write(floats((1, 0.2, 0.1)))
    answer = run.readall().decode()
for line in answer.splitlines():
    name, distance = line.split("\t")
    print(f"{name}\t{float(distance):.3f}")

for name in colours:
    (mount / "vectors" / name).unlink()
