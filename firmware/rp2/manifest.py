# ruff: noqa: F821
include("manifest_stock.py")
package("sesstab", base_path="../../lib")
