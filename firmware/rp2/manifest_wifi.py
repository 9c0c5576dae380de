# For the boards with Wi-Fi: all that the port freezes for them (micropython-lib's network packages and ssl), and sesstab.
# ruff: noqa: F821
include("$(BOARD_DIR)/manifest.py")
package("sesstab", base_path="../../lib")
