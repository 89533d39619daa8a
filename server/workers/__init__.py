"""Several nodes on one machine behind one port: ``serve --workers N``.

A supervisor (``supervisor``) starts N processes of the same program, each a whole node, and starts again those that
end. All listen at the gateway's port and at the HTTP port (SO_REUSEPORT, Linux): the kernel gives each new connection
to one of them by a hash of its addresses and ports. They share nothing but the database and Redis, as nodes on N
machines do.
"""
