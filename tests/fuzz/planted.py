"""A target with a bug behind three doors, for the fuzzer to be tried on."""


def planted(data: bytes) -> None:
    """Fails for BUG."""
    if data[:1] == b"B":  # noqa: SIM102 - each door is seen by itself
        if data[1:2] == b"U":
            assert data[2:3] != b"G"
