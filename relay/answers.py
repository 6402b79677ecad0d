"""What several workers of one relay say to its operator, as one answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def merged(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join what each worker has answered to the same command.

    Numbers are added, but for times and limits, of which the largest counts; lists are joined, users by their names.

    Args:
        answers: One of each worker; one alone is returned as it is.
    """
    if len(answers) == 1:
        return answers[0]
    result: dict[str, Any] = {}
    for key in dict.fromkeys(key for answer in answers for key in answer):
        values = [answer[key] for answer in answers if key in answer]
        if key == "users":
            result[key] = _users(values)
        elif key == "pid":
            result["pids"] = values
        elif key == "region":
            result[key] = values[0]
        elif key == "state":
            result[key] = "draining" if "draining" in values else values[0]
        elif key in ("up_s", "within_s"):
            result[key] = max(values)
        else:
            result[key] = _joined(values)
    return result


def _joined(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {name: _joined([value[name] for value in values if name in value]) for value in values for name in value}
    if isinstance(first, list):
        return list(dict.fromkeys(entry for value in values for entry in value))
    if isinstance(first, bool):
        return all(values)
    return sum(values)


def _users(lists: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    totals: dict[str, int] = {}
    for entry in (entry for users in lists for entry in users):
        totals[entry["user"]] = totals.get(entry["user"], 0) + entry["bytes"]
    most = sorted(totals.items(), key=lambda item: -item[1])[: max(map(len, lists))]
    return [{"user": user, "bytes": size} for user, size in most]
