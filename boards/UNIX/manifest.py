# What is frozen into the firmware: asyncio, ssl and sesstab. `package` and `module` are the build's.
include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821
module("ssl.py")  # noqa: F821
package("sesstab", base_path="../../lib")  # noqa: F821
