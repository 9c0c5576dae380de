# What is frozen into the firmware: nothing of sesstab, as in firmware that one downloads.
# ruff: noqa: F821
freeze("modules")
include("$(MPY_DIR)/extmod/asyncio")
module("ssl.py", base_path="../../boards/UNIX")
