"""A value for arguments that leave something unchanged, where None has a meaning of its own."""


class Unset:
    """Type of UNSET."""


UNSET = Unset()
