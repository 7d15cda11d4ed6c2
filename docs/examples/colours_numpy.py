#!/usr/bin/env python3
"""Colours as vectors in a vecfs mount, with numpy: colours_numpy.py MOUNT"""
import sys
from pathlib import Path

import numpy

mount = Path(sys.argv[1])
names = ["red", "orange", "blue"]
vectors = numpy.array([(1, 0, 0), (1, 0.5, 0), (0, 0, 1)], dtype="<f4")

for name, vector in zip(names, vectors):
    vector.tofile(mount / "vectors" / name)

# A stored vector as an array: the file itself, mapped, without a copy.
red = numpy.memmap(mount / "vectors" / "red", dtype="<f4", mode="r")
assert (red == vectors[0]).all()

query = numpy.array((1, 0.2, 0.1), dtype="<f4")
with open(mount / "query/2/run", "r+b", buffering=0) as run:
    run.write(query.tobytes())
    answer = run.readall().decode()
for line in answer.splitlines():
    name, distance = line.split("\t")
    print(f"{name}\t{float(distance):.3f}")

del red
for name in names:
    (mount / "vectors" / name).unlink()
