"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its text is one line that names the file or value and says what to do. The command line prints
    that line and exits with status 2; in a notebook it is the last line of the traceback.
    """
