"""A fuzzer's bytes, taken one by one; zeros when there are no more. As input.h does it."""

EDGES = [255, 256, 65535, 65536, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 3, 2**32 - 2, 2**32 - 1]


class Taken:
    def __init__(self, data):
        self.data = data
        self.at = 0

    @property
    def over(self):
        return self.at >= len(self.data)

    def byte(self):
        if self.over:
            return 0
        self.at += 1
        return self.data[self.at - 1]

    def some(self, n):
        self.at += n
        return self.data[self.at - n : self.at]

    def rest(self):
        return self.some(len(self.data))

    def number(self):
        """Mostly small ones and those at an edge."""
        kind = self.byte()
        if kind < 200:
            return kind
        if kind < 200 + len(EDGES):
            return EDGES[kind - 200]
        return int.from_bytes(self.some(2 if kind < 250 else 4), "big")
