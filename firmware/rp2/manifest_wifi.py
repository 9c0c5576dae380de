# For the boards with Wi-Fi: all that the port freezes for them, with micropython-lib's network packages, and
# sesstab.
# ruff: noqa: F821
include("$(BOARD_DIR)/manifest.py")
package("sesstab", base_path="../../lib")
