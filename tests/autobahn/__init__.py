"""The server's cases of the Autobahn WebSocket test suite, by their numbers, with a driver of our own.

The suite itself (``autobahntestsuite`` 25.10.1) runs under Python 2.7 only. What is here are its facts: what each case
sends, how it is chopped up on the wire, and what a server must answer.
"""
