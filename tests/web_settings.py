"""The product's settings for a web server that a test starts: it follows the clock of the test."""

from tests import clock

clock.follow()

from config.settings import *  # noqa: E402, F403
