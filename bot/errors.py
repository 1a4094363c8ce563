"""The one kind of error a person is meant to read."""


class UserError(Exception):
    """Something the user can mend: the message names the thing, the place and the remedy, in one line.

    Front ends print it without a traceback; the terminal exits with code 2.
    """
