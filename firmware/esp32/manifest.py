# What the port freezes, and sesstab.
# ruff: noqa: F821
include("$(PORT_DIR)/boards/manifest.py")
package("sesstab", base_path="../../lib")
