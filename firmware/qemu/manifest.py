# What is frozen into the firmware: nothing of sesstab, as in firmware that one downloads.
# ruff: noqa: F821
include("../qemu_xtensa/manifest.py")
