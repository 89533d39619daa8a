"""Rule OWNERSHIP: the commits of each actor form one line. One pass."""

from loadtest.checking.findings import Findings, Rule
from loadtest.history import Committed


class _Line:
    """The newest commit of an actor."""

    __slots__ = ("fence", "node", "record", "version")

    def __init__(self, number: int, commit: Committed) -> None:
        self.fence = commit.fence
        self.node = commit.node
        self.version = commit.version
        self.record = number


class Ownership:
    """All actors."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._lines: dict[str, _Line] = {}

    def committed(self, number: int, commit: Committed) -> None:
        """A commit was applied."""
        self._findings.judged(Rule.OWNERSHIP)
        line = self._lines.get(commit.actor)
        if line is None:
            self._lines[commit.actor] = _Line(number, commit)
            return
        says = _what_is_wrong(line, commit)
        if says:
            self._findings.add(
                Rule.OWNERSHIP, says, topic=commit.actor,
                expected=f"version {line.version + 1} under fence {line.fence} of {line.node}, or a higher one",
                seen=f"version {commit.version} under fence {commit.fence} of {commit.node}",
                records=(line.record, number),
            )  # fmt: skip
            if commit.fence < line.fence or commit.version <= line.version:
                return  # those that follow are measured by the good ones before
        line.fence, line.node, line.version, line.record = commit.fence, commit.node, commit.version, number


def _what_is_wrong(line: _Line, commit: Committed) -> str:
    if commit.fence < line.fence:
        return "a commit under an old fence, after one under a newer"
    if commit.fence == line.fence and commit.node != line.node:
        return "two nodes under one fence"
    if commit.version <= line.version:
        return "two commits of one version"
    if commit.version > line.version + 1:
        return "a version is missing"
    return ""
