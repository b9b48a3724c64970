"""Counters that backends write and others read, in memory that they share: what a backend has
counted outlives its being killed, and what it does with requests can be changed while it runs."""

import mmap

#: What a row has: what the backend is to do (see backend.py), and what it has counted.
#: CLOSED are connections that ended, CLOSED_AT is when the last one did, in ns of the monotonic
#: clock.
MODE, REQUESTS, ANSWERS, CLOSED, CLOSED_AT = range(5)
#: A row is a cache line of eight numbers.
WIDTH = 8


class Board:
    """One row for each backend, which alone counts in it."""

    def __init__(self, rows):
        self.rows = rows
        self.cells = memoryview(mmap.mmap(-1, rows * WIDTH * 8)).cast("Q")

    def get(self, row, what):
        return self.cells[row * WIDTH + what]

    def set(self, row, what, value):
        self.cells[row * WIDTH + what] = value

    def count(self, row, what):
        self.cells[row * WIDTH + what] += 1

    def column(self, what):
        return [self.get(row, what) for row in range(self.rows)]
