"""Every error code that the API answers with: its status, and one sentence for people.

    errors ──code──▶ problems ──▶ answer
                                   ╎
    CODES: what the OpenAPI document and docs/errors.md say of it

A list beside the code and not the source of it: an error still takes its code from its class or from the place that
raises it. A test reads both off the source, so that neither has a code that the other has not.
"""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, tuple[int, str]] = {
    "future_revision": (400, "The revision to resume after has not been yet: it is of another data directory."),
    "invalid": (400, "A field, parameter or header is wrong; details.fields lists each with its path."),
    "malformed_request": (400, "What came is not an HTTP request, or uses a method that HTTP does not have."),
    "malformed_json": (400, "The body is not JSON, is nested too deeply, or ends before it is complete."),
    "host_not_allowed": (403, "The Host header names another site than this daemon."),
    "origin_not_allowed": (403, "The write comes from another site's page."),
    "deployment_not_found": (404, "There is no deployment of this name."),
    "not_found": (404, "No route has this path."),
    "openapi_not_found": (404, "The VM's plugin has no OpenAPI document, or none that can be read."),
    "plugin_not_found": (404, "There is no plugin of this name."),
    "set_not_found": (404, "Nothing was applied as a set of this name."),
    "sync_not_found": (404, "There is no such sync: the daemon's settings name none."),
    "vm_not_found": (404, "There is no VM of this name."),
    "method_not_allowed": (405, "The route does not know this method; Allow and details.allow list those it knows."),
    "request_too_slow": (408, "The request was begun and did not arrive as a whole in time."),
    "wait_timeout": (408, "What was waited for did not come within the timeout; details say how it stands."),
    "address_taken": (409, "The address is held by another VM, or is not of the pool."),
    "addresses_exhausted": (409, "Every address of the pool is held."),
    "port_taken": (409, "The port of the host is published by another VM; details names it."),
    "console_in_use": (409, "Somebody is attached to the console; `force` takes their place."),
    "console_unavailable": (409, "The VM has no guest that runs, so there is no console to attach to."),
    "conflict": (409, "The object was changed by somebody else meanwhile: read it again, then try again."),
    "deployment_already_exists": (409, "A deployment of this name exists."),
    "deployment_deleted": (409, "The deployment that was waited for is gone."),
    "deployment_deleting": (409, "The deployment is being deleted."),
    "deployment_failed": (409, "The deployment cannot get there by waiting; details say why."),
    "field_conflict": (
        409,
        "Another manager says a field otherwise; details.conflicts has both values.",
    ),
    "idempotency_in_progress": (409, "The first request with this idempotency key is still being worked on."),
    "kvm_required": (409, "VMs are to be isolated by KVM, and this host has none that works."),
    "log_unavailable": (409, "The guest has said nothing on its console yet, or nothing of it is kept any more."),
    "object_owned": (409, "The object is made by its owner, which details.owner names: that is what can be applied."),
    "openapi_unavailable": (409, "The OpenAPI document comes from a guest that does not run, or gives none now."),
    "plan_changed": (409, "The plan is another one by now: details.token names it."),
    "plugin_already_exists": (409, "A plugin of this name is installed."),
    "plugin_deleted": (409, "The plugin that was waited for is gone."),
    "plugin_deleting": (409, "The plugin is being removed."),
    "plugin_disabled": (409, "The plugin is disabled: no new VMs are made of it."),
    "plugin_failed": (409, "The plugin cannot get there by waiting; details say why."),
    "plugin_in_use": (409, "VMs or deployments still use the plugin; details name them."),
    "prune_unconfirmed": (409, "Many objects would be deleted; details say how many, and confirm_delete means it."),
    "set_reverted": (409, "The same manifests were taken back; details say why. Change them, or say retry."),
    "set_conflict": (409, "The object is of another set; details.set names it."),
    "no_such_revision": (409, "There is no such revision to go back to; details.revisions are those that are kept."),
    "rollout_paused": (409, "The rollout is paused: resume it first."),
    "template_reverted": (409, "That template went back by itself: change it, or say retry; details.revision has it."),
    "vm_already_exists": (409, "A VM of this name exists."),
    "vm_already_running": (409, "The VM is running, or on its way there."),
    "vm_already_stopped": (409, "The VM is stopped."),
    "vm_deleted": (409, "The VM that was waited for is gone."),
    "vm_deleting": (409, "The VM is being deleted."),
    "vm_failed": (409, "The VM cannot get there by waiting; details say why."),
    "vm_started_again": (409, "The VM was started again by somebody else while it was waited for to stop."),
    "event_gone": (410, "Events after the asked revision are no longer kept; details.oldest is the oldest to be had."),
    "page_expired": (410, "The cursor of this page no longer holds: begin again with the first page."),
    "precondition_failed": (412, "If-Match names another revision; details.revision is the current one."),
    "too_large": (413, "The body is over details.limit_bytes."),
    "unsupported_media_type": (415, "The body does not say that it is JSON."),
    "forecast_too_large": (422, "There are more objects than a forecast can be made of: details.limit."),
    "idempotency_key_reused": (422, "The idempotency key was used for another request."),
    "upgrade_required": (426, "The route speaks WebSocket only: ask for an upgrade to it."),
    "head_too_large": (431, "The first line and the headers are over details.limit_bytes, or too many."),
    "internal": (500, "Volant is at fault; its log has the request_id and what went wrong."),
    "fenced": (503, "Another daemon has taken over the data directory, and this one is ending; nothing was changed."),
    "forecast_busy": (503, "Others are waiting for a forecast: one is made at a time."),
    "forecast_failed": (503, "The forecast could not be made; the message says why. Nothing was changed."),
    "stopping": (503, "The daemon is stopping."),
    "too_many_ahead": (503, "Too many requests were sent on one connection before the first was answered."),
    "too_many_logs": (503, "As many consoles are being followed as this daemon serves."),
    "too_many_connections": (503, "As many connections are in use as this daemon serves."),
    "too_many_streams": (503, "As many event streams are open as this daemon serves."),
    "unavailable": (503, "The store cannot be used now; nothing was changed."),
}
"""code -> (HTTP status, one sentence)."""
