# Freezes the package into a firmware: FROZEN_MANIFEST=.../lib/manifest.py, or include() it.
# ruff: noqa: F821
metadata(version="0.1.0")
package(
    "sesstab",
    files=("__init__.py", "client.py", "format.py", "modes.py", "openssl.py", "pure.py", "snapshot.py"),
)
