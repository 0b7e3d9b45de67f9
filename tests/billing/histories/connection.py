"""The connection to Stripe in a history: the process may be killed after a request had its effect."""


class Killed(BaseException):
    """The process dies after a request to Stripe had its effect."""


class Connection:
    """What happens to the responses of Stripe: `kill_after` requests the process dies."""

    kill_after = 0
    switched = False  # whether a switch of the sandbox may be on

    @classmethod
    def after_request(cls) -> None:
        if cls.kill_after:
            cls.kill_after -= 1
            if not cls.kill_after:
                raise Killed
