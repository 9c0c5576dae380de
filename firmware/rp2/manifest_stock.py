# What firmware for the Pico has frozen in it, as far as MicroPython's own source has it: what the port needs,
# asyncio, and `ssl`, as micropython-lib (which Debian's source package lacks) would add it.
# ruff: noqa: F821
freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")
module("ssl.py", base_path="../../boards/UNIX")
