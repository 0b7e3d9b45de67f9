"""Not built yet."""


def __getattr__(name):
    def missing(*args, **kwargs):
        raise NotImplementedError(name)

    return missing
