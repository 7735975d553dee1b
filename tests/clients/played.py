"""For the Python suites: what the mock upstream is to do, and what it was asked."""

import json
import os
import time
import urllib.request
import uuid


class Played:
    """One name at the mock: the header that says what it plays, and what came."""

    def __init__(self, **play):
        self.name = uuid.uuid4().hex
        self.headers = {"x-play": json.dumps({"name": self.name, **play})}

    def entries(self):
        with urllib.request.urlopen(f"{os.environ['MOCK_URL']}/played/{self.name}") as reply:
            return json.load(reply)

    def only(self):
        entries = self.entries()
        assert len(entries) == 1, f"asked {len(entries)} times"
        return entries[0]

    def ended(self, expected, patience_s=10):
        """Waits until the last request has ended like this at the mock."""
        until = time.monotonic() + patience_s
        while (seen := self.entries()[-1]["ended"]) != expected and time.monotonic() < until:
            time.sleep(0.02)
        return seen == expected


def tickets(certain=True):
    """A text of the example that the small model is sure about, or one that it can't be."""
    return "Where is my parcel? The tracking says nothing." if certain else "banana"


LABELS = [
    "billing", "refund", "delivery", "returns", "damaged", "technical", "account", "order_change", "subscription",
    "product_question", "warranty", "privacy", "complaint", "business", "other",
]
