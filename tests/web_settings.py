"""Settings of a web server started by a test: the product's settings with the clock of the test."""

from tests import clock

clock.follow()

from config.settings import *  # noqa: E402, F403
