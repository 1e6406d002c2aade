"""What is counted on the held-out set."""

from collections import defaultdict


def edits(a: list, b: list) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def figures(items: list[dict]) -> dict[str, str]:
    """Per group: word error rate for speech, words said where nobody speaks, exact answers for pictures."""
    groups = defaultdict(list)
    for item in items:
        groups[item["group"]].append(item)
        if item["group"].startswith(("clean", "10 dB")):
            groups[item["group"].rsplit(" ", 1)[0]].append(item)
    result = {}
    for group, members in groups.items():
        if group == "no speech":
            result[group] = f"{sum(len(item['text'].split()) for item in members)} words on {len(members)} clips"
        elif members[0]["task"] == "transcribe":
            wrong = sum(edits(item["text"].split(), item["expected"].split()) for item in members)
            words = sum(len(item["expected"].split()) for item in members)
            result[group] = f"{100 * wrong / words:.1f} % word errors ({len(members)} clips, {words} words)"
        else:
            exact = sum(item["text"] == item["expected"] for item in members)
            result[group] = f"{100 * exact / len(members):.1f} % exact ({len(members)} items)"
    return result
