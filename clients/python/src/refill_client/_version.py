"""The version of the package, as installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("refill-client")
except PackageNotFoundError:  # run from its source
    VERSION = "0"
