import warnings


def warn_user(message, category=UserWarning):
    warnings.warn(message, category, stacklevel=4)
