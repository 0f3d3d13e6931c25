"""What a request must be beyond what an OpenAPI document can say of it.

    schemathesis: "a valid request was refused" ──is_unsaid──▶ by a rule of this list? then it was not valid

A rule names one error code and, of `invalid`, which field and which sentence: any other refusal of a request that the
document allows is a fault of the document or of the code. Nothing here excuses an answer that is not described, a
server error, or a request that the document forbids and that is taken all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A refusal that may come to what the document allows.

    `path` and `says` are patterns of the whole path of a field and of a part of its message. `old` rules are those that
    OpenAPI 3.1 can say, and 3.0.3 cannot.
    """

    code: str
    because: str
    path: str = ""
    says: str = ""
    old: bool = False


RULES = (
    Rule("idempotency_key_reused", "a key is good for one request: that is about two requests"),
    Rule("precondition_failed", "which revision an object has is known when it is asked"),
    Rule("wait_timeout", "waits are cut short here, so that there is time for many"),
    Rule("upgrade_required", "HTTP says that elsewhere: by an Upgrade header"),
    # One field and another.
    Rule("invalid", "at least one of two", "", "a plugin needs an initramfs or a rootfs", old=True),
    Rule("invalid", "one field needs another", "/kernel", "an initramfs needs a kernel"),
    Rule("invalid", "one value needs another field", "/workload/port", "of type (http|tcp) needs a port", old=True),
    Rule("invalid", "one field needs one of two others", "/health_check", "needs a type and a port where"),
    Rule("invalid", "one value forbids another field", "/health_check/path", "of type tcp has no path"),
    Rule("invalid", "of three probes, one only", "/health_check/(startup|liveness)/success_threshold", "must be 1"),
    Rule("invalid", "exactly one of three", "/openapi", "expected exactly one of document, file and path"),
    Rule("invalid", "one field belongs to another", "/openapi/port", "a port belongs to a path|needs a port where"),
    Rule("invalid", "the sum of all sizes", "(/config)?/env", "expected at most .* in all"),
    Rule("invalid", "one parameter forbids another", r"\?offset", "cannot be combined with `continue`"),
    # Small languages inside a string.
    Rule("invalid", "the fields of the answer, dotted", r"\?fields", "unknown field|has no parts"),
    Rule("invalid", "a grammar", r"\?label_selector", "cannot (read the selector|use '.*' as a )"),
    Rule("invalid", "a grammar, and words that are known", r"\?(types|kinds|names)", "unknown: |expected a list with"),
    Rule("invalid", "a token is given out, not made", r"\?continue", "is not a token of this list"),
    Rule("invalid", "an OpenAPI document of its own", "/openapi/document", "cannot |it is "),
    # What this daemon is.
    Rule(
        "invalid",
        "how it attaches guests, and which ports it has",
        r"(/config)?/network/(mode|bridge_name|egress(/\d+)?|publish(/\d+/(host_port|host_ip))?)",
        "this daemon has|bridge|can only|reaches nothing|nothing to publish|host bits|or more|API's own|one VM's",
    ),
    Rule("invalid", "an address, as four numbers", r"(/config)?/network/publish/\d+/host_ip", "IPv4 address|multicast"),
    Rule("invalid", "two of one list", r"(/config)?/network/publish/\d+/host_port", "published twice"),
    Rule(
        "invalid", "what a disk has been", r"(/config)?/disks/[^/]+/size_mb", "expected a size in MiB|does not shrink"
    ),
    Rule("invalid", "what its plugin has", r"(/config)?/disks/(root|seed)", "no rootfs|is cloud-init's"),
    Rule("invalid", "the plugin's and its own together", r"(/config)?/disks", "expected at most"),
    Rule("invalid", "YAML", "(/config)?/cloud_init/(meta_data|network_config)", "YAML|it is|it has|mapping"),
    Rule("invalid", "one figure and another", "/strategy(/.*)?", ""),
    Rule("invalid", "a name in the path and one in the body", "/metadata/name", "the name in the path"),
    Rule("invalid", "what it was made of", "/plugin", "cannot be changed: delete the VM"),
    Rule("field_conflict", "who has said which field is known when it is asked"),
    Rule("object_owned", "whose an object is, is known when it is asked"),
    Rule("invalid", "manifests have a schema of their own", r"/objects/\d+(/.*)?", ""),
    Rule("invalid", "one field forbids another", "", "a part of a set says nothing of the rest"),
    Rule("invalid", "one field needs another", "/deadline_seconds", "expected with 'atomic'"),
    Rule("set_reverted", "what was taken back is known when it is asked"),
    Rule("invalid", "which revisions it has seen", r"\?since|Last-Event-ID", "expected"),
    # The names of keys.
    Rule(
        "invalid",
        "names of keys",
        "(/config|/metadata)?/(env|labels|annotations|disks)/.*",
        "expected: (The name of a var|Letters,)",
        old=True,
    ),
)


def is_unsaid(answer: Any, openapi: str) -> bool:
    """Whether that error is all about rules of the list, for a document in that version of OpenAPI."""
    if not isinstance(answer, Mapping):
        return False
    code, fields = answer.get("code"), answer.get("details", {}).get("fields", [])
    rules = [rule for rule in RULES if rule.code == code and (not rule.old or openapi.startswith("3.0"))]
    if code != "invalid":
        return bool(rules)
    return bool(fields) and all(any(_is_about(rule, field) for rule in rules) for field in fields)


def _is_about(rule: Rule, field: Mapping[str, str]) -> bool:
    # What a body has at its top, a manifest has below `/spec`.
    path = field["path"].removeprefix("/spec")
    is_there = re.fullmatch(rule.path, path, re.DOTALL) is not None
    return is_there and re.search(rule.says, field["message"]) is not None
