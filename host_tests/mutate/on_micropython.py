# The device tests in one MicroPython: LIB and DEVICE are the folders of the package and of the tests.
#
#     micropython on_micropython.py LIB DEVICE
#
# Exits with 1 when a test fails, and says which.

import os
import sys

LIB, DEVICE = sys.argv[1:]
sys.path[:0] = [LIB, DEVICE]

name = ""
try:
    for file in sorted(os.listdir(DEVICE)):
        if file.startswith("test_"):
            namespace = {"__name__": file}
            with open(DEVICE + "/" + file) as f:
                exec(f.read(), namespace)
            for name in list(namespace):
                if name.startswith("test_"):
                    namespace[name]()
except BaseException:
    print("on MicroPython,", name or "loading the tests")
    sys.exit(1)
