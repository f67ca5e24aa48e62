"""Credentials never reach an event: their values are replaced where events are made."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from agent_kernel.events import Delta, Event, parse_event

MASK = "[redacted]"
SHORTEST = 8
MOST_HELD = 200


class Redactor:
    """Call it with a run and an event: the event without any of `secrets` (those of 8 characters or more),
    also where they stand JSON-escaped, URL-quoted or in base64.

    Deltas cut text anywhere. The end of one that could be the beginning of a secret waits for the next.
    Characters no database or browser takes (lone surrogates) are replaced on the way.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = set(secrets)
        self._groups: dict[str, set[str]] = {}
        self._held: dict[tuple[str, str, str, int], str] = {}
        self._look_for_all()

    def keep(self, secrets: Iterable[str]) -> None:
        """Know these too from now on."""
        if new := set(secrets) - self._secrets:
            self._secrets |= new
            self._look_for_all()

    def keep_only(self, group: str, secrets: Iterable[str]) -> None:
        """Know these as the secrets of `group`, in place of those it had: they open nothing any more."""
        if (wanted := set(secrets)) != self._groups.get(group, set()):
            self._groups[group] = wanted
            self._look_for_all()

    def _look_for_all(self) -> None:
        known = self._secrets.union(*self._groups.values())
        forms = {form for secret in known if len(secret) >= SHORTEST for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._forms))) if forms else None
        # How the forms look within an event's JSON: one search there says whether there is anything to do.
        inside = sorted({json.dumps(form, ensure_ascii=False)[1:-1] for form in forms}, key=len, reverse=True)
        self._hint = re.compile("|".join(map(re.escape, inside))) if inside else None

    def __call__(self, run_id: str, event: Event) -> Event:
        if isinstance(event, Delta):
            return self._delta(run_id, event)
        try:
            text = event.model_dump_json()
        except ValueError:  # lone surrogates
            return self._rebuilt(event)
        if self._hint is None or not self._hint.search(text):
            return event
        return self._rebuilt(event)

    def _rebuilt(self, event: Event) -> Event:
        return parse_event(self._masked(event.model_dump()))

    def _masked(self, value: Any) -> Any:
        match value:
            case str():
                value = value.encode("utf-8", "replace").decode()
                return self._pattern.sub(MASK, value) if self._pattern else value
            case dict():
                return {self._masked(key): self._masked(item) for key, item in value.items()}
            case list() | tuple():
                return [self._masked(item) for item in value]
            case _:
                return value

    def _delta(self, run_id: str, delta: Delta) -> Delta:
        key = (run_id, delta.id, delta.kind, delta.turn)
        text = self._held.pop(key, "") + delta.text.encode("utf-8", "replace").decode()
        if self._pattern is None:
            return delta if text == delta.text else delta.model_copy(update={"text": text})
        text = self._pattern.sub(MASK, text)
        keep = self._beginning(text)
        if keep:
            if len(self._held) >= MOST_HELD:  # what was held belongs to blocks long since stored
                self._held.pop(next(iter(self._held)))
            self._held[key] = text[len(text) - keep :]
        return delta.model_copy(update={"text": text[: len(text) - keep]})

    def _beginning(self, text: str) -> int:
        """How many characters at the end of `text` could be the beginning of a secret."""
        longest = min(len(text), max(map(len, self._forms)) - 1)
        for size in range(longest, 0, -1):
            end = text[-size:]
            if any(form.startswith(end) for form in self._forms):
                return size
        return 0


def _forms(secret: str) -> set[str]:
    """The secret itself, and how it looks after usual encodings."""
    found = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote(secret)}
    raw = secret.encode()
    for shift in range(3):  # base64 looks different at each of three offsets
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        begin = -(-shift * 8 // 6)
        end = len(encoded) - (1 if (len(raw) + shift) % 3 else 0)
        found.add(encoded[begin:end])
    return {form for form in found if len(form) >= SHORTEST}
