"""All routes of the API on one screen, with what each takes and answers.

`/v1/openapi.json` is made from them.
"""

from control import health, metrics, openapi
from control.api import (
    admin_audit,
    apply,
    archive,
    audit,
    authorities,
    internal,
    keys,
    known_values,
    master_keys,
    proxies,
    quarantine,
    rules,
    tenants,
    webhooks,
)
from control.api.bodies import Deleted
from control.api.records import Exchange
from control.openapi import Route

LINES, TEXT = "application/x-ndjson", "text/plain"
FOUND_BY = audit.FILTERS
PAGED = ("limit", "after", "search")


ROUTES = (
    Route("GET", "/health", health.live),
    Route("GET", "/health/ready", health.ready),
    Route(
        "GET",
        "/v1/tenants",
        tenants.every,
        tenants.Tenants,
        query=(*PAGED, "state"),
    ),
    Route(
        "POST", "/v1/tenants:batch", tenants.batch, tenants.Tenants, tenants.Batch, 201
    ),
    Route(
        "POST",
        "/v1/tenants",
        tenants.create,
        tenants.TenantView,
        tenants.NewTenant,
        201,
    ),
    Route("POST", "/v1/tenants:apply", apply.apply, apply.AppliedAll, apply.Wanted),
    Route("GET", "/v1/tenants/{id}", tenants.show, tenants.TenantView),
    Route(
        "PATCH", "/v1/tenants/{id}", tenants.change, tenants.TenantView, tenants.Changes
    ),
    Route("DELETE", "/v1/tenants/{id}", tenants.delete, Deleted),
    Route("GET", "/v1/tenants/{id}/keys", keys.every, keys.Keys, query=PAGED),
    Route("POST", "/v1/tenants/{id}/keys", keys.create, keys.KeyView, keys.NewKey, 201),
    Route("DELETE", "/v1/tenants/{id}/keys/{key}", keys.revoke, keys.Revoked),
    Route("GET", "/v1/tenants/{id}/secrets", known_values.every, known_values.Secrets),
    Route(
        "PATCH",
        "/v1/tenants/{id}/secrets",
        known_values.put,
        known_values.Secrets,
        known_values.NewSecrets,
    ),
    Route("DELETE", "/v1/tenants/{id}/secrets/{name}", known_values.delete, Deleted),
    Route("GET", "/v1/tenants/{id}/webhooks", webhooks.of_tenant, webhooks.Webhooks),
    Route(
        "POST",
        "/v1/tenants/{id}/webhooks",
        webhooks.create,
        webhooks.WebhookView,
        webhooks.NewWebhook,
        201,
    ),
    Route("GET", "/v1/webhooks/{id}", webhooks.show, webhooks.WebhookView),
    Route(
        "PATCH",
        "/v1/webhooks/{id}",
        webhooks.change,
        webhooks.WebhookView,
        webhooks.WebhookChanges,
    ),
    Route("DELETE", "/v1/webhooks/{id}", webhooks.delete, Deleted),
    Route(
        "GET",
        "/v1/webhooks/{id}/deliveries",
        webhooks.deliveries,
        webhooks.Deliveries,
        query=("limit", "cursor"),
    ),
    Route("POST", "/v1/webhooks/{id}/test", webhooks.test, webhooks.Tried),
    Route(
        "POST",
        "/v1/webhooks/{id}/replay",
        webhooks.replay,
        webhooks.Replayed,
        webhooks.Replay,
    ),
    Route(
        "POST",
        "/v1/webhooks/{id}/secret",
        webhooks.new_secret,
        webhooks.NewSecret,
        webhooks.SecretChange,
    ),
    Route("GET", "/v1/keys", keys.of_nobody, keys.Keys, query=PAGED),
    Route(
        "POST", "/v1/keys", keys.create_for_nobody, keys.KeyView, keys.NewRoleKey, 201
    ),
    Route("GET", "/v1/keys/ending", keys.ending, keys.EndingView),
    Route("DELETE", "/v1/keys/{key}", keys.revoke_of_nobody, keys.Revoked),
    Route("POST", "/v1/keys/rotate", keys.rotate, keys.RotationView, keys.Rotation),
    Route("GET", "/v1/master", master_keys.status, master_keys.Standing),
    Route(
        "POST",
        "/v1/master/rotate",
        master_keys.rotate,
        master_keys.Standing,
        master_keys.MasterKey,
    ),
    Route(
        "POST",
        "/v1/master/verify",
        master_keys.verify,
        master_keys.Verified,
        master_keys.MasterKey,
    ),
    Route("POST", "/v1/master/finalize", master_keys.finalize, master_keys.Standing),
    Route("POST", "/v1/master/abort", master_keys.abort, master_keys.Standing),
    Route("GET", "/v1/ca", authorities.every, authorities.Roots),
    Route(
        "POST",
        "/v1/ca",
        authorities.create,
        authorities.Roots,
        authorities.NewRoot,
        201,
    ),
    Route(
        "POST",
        "/v1/ca/issue",
        authorities.issue,
        authorities.Issued,
        authorities.NewIssuer,
    ),
    Route("POST", "/v1/ca/finish", authorities.finish, authorities.Roots),
    Route("GET", "/v1/proxies", proxies.every, proxies.Proxies),
    Route("GET", "/v1/rules", rules.export, rules.Rules),
    Route(
        "GET",
        "/v1/audit",
        audit.search,
        audit.Page,
        query=(*FOUND_BY, "limit", "cursor"),
    ),
    Route(
        "GET",
        "/v1/audit/admin",
        admin_audit.search,
        admin_audit.Entries,
        query=(*admin_audit.FILTERS, "limit", "cursor"),
    ),
    Route("GET", "/v1/audit/stats", audit.stats, audit.Stats, query=FOUND_BY),
    Route("POST", "/v1/audit/import", archive.take_in, archive.Imported, LINES),
    Route(
        "GET",
        "/v1/quarantine",
        quarantine.search,
        quarantine.Quarantine,
        query=("limit", "cursor"),
    ),
    Route(
        "POST",
        "/v1/quarantine/replay",
        quarantine.replay,
        quarantine.Replayed,
        quarantine.Replay,
    ),
    Route("GET", "/v1/audit/{id}", audit.show, Exchange),
    Route("GET", "/v1/dashboard/metrics", metrics.metrics, TEXT),
    Route("GET", "/v1/openapi.json", openapi.document),
    Route("GET", "/v1/docs", openapi.page),
    Route("GET", "/internal/snapshot", internal.snapshot),
    Route("POST", "/internal/keys", internal.keys),
    Route("POST", "/internal/report", internal.report),
    Route("GET", "/internal/watermark/{worker}/{boot}", internal.watermark),
)
