"""A Guildhall node: settings, command line, gateway, HTTP, and the composition root
``server.app``."""
