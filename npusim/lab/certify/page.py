"""The certificate as a page."""


def certificate(*_):
    return ""
