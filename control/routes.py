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
    explanation,
    internal,
    keys,
    known_values,
    layers,
    marks,
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
PAGED, ON = ("limit", "after", "search"), ("limit", "cursor")

# fmt: off
ROUTES = (
    Route("GET", "/health", health.live),
    Route("GET", "/health/ready", health.ready),
    Route("GET", "/v1/tenants", tenants.every, tenants.Tenants, query=(*PAGED, "state"), needs="tenants.read"),
    Route("POST", "/v1/tenants:batch", tenants.batch, tenants.Tenants, tenants.Batch, 201, needs="tenants.create"),
    Route("POST", "/v1/tenants", tenants.create, tenants.TenantView, tenants.NewTenant, 201, needs="tenants.create"),
    Route("POST", "/v1/tenants:apply", apply.apply, apply.AppliedAll, apply.Wanted, needs="tenants.create"),
    Route("GET", "/v1/tenants/{id}", tenants.show, tenants.TenantView, needs="tenants.read"),
    Route("PATCH", "/v1/tenants/{id}", tenants.change, tenants.TenantView, tenants.Changes, needs="tenants.write"),
    Route("DELETE", "/v1/tenants/{id}", tenants.delete, Deleted, needs="tenants.write"),
    Route("GET", "/v1/tenants/{id}/keys", keys.every, keys.Keys, query=PAGED, needs="keys.read"),
    Route("POST", "/v1/tenants/{id}/keys", keys.create, keys.KeyView, keys.NewKey, 201, needs="keys.write"),
    Route("DELETE", "/v1/tenants/{id}/keys/{key}", keys.revoke, keys.Revoked, needs="keys.write"),
    Route("GET", "/v1/tenants/{id}/secrets", known_values.every, known_values.Secrets, needs="secrets.read"),
    Route("PATCH", "/v1/tenants/{id}/secrets", known_values.put, known_values.Secrets, known_values.NewSecrets, needs="secrets.write"),
    Route("DELETE", "/v1/tenants/{id}/secrets/{name}", known_values.delete, Deleted, needs="secrets.write"),
    Route("GET", "/v1/tenants/{id}/webhooks", webhooks.of_tenant, webhooks.Webhooks, needs="webhooks.read"),
    Route("POST", "/v1/tenants/{id}/webhooks", webhooks.create, webhooks.WebhookView, webhooks.NewWebhook, 201, needs="webhooks.write"),
    Route("GET", "/v1/webhooks/{id}", webhooks.show, webhooks.WebhookView, needs="webhooks.read"),
    Route("PATCH", "/v1/webhooks/{id}", webhooks.change, webhooks.WebhookView, webhooks.WebhookChanges, needs="webhooks.write"),
    Route("DELETE", "/v1/webhooks/{id}", webhooks.delete, Deleted, needs="webhooks.write"),
    Route("GET", "/v1/webhooks/{id}/deliveries", webhooks.deliveries, webhooks.Deliveries, query=ON, needs="webhooks.read"),
    Route("POST", "/v1/webhooks/{id}/test", webhooks.test, webhooks.Tried, needs="webhooks.write"),
    Route("POST", "/v1/webhooks/{id}/replay", webhooks.replay, webhooks.Replayed, webhooks.Replay, needs="webhooks.write"),
    Route("POST", "/v1/webhooks/{id}/secret", webhooks.new_secret, webhooks.NewSecret, webhooks.SecretChange, needs="webhooks.write"),
    Route("GET", "/v1/keys", keys.of_nobody, keys.Keys, query=PAGED, needs="staff.read"),
    Route("POST", "/v1/keys", keys.create_for_nobody, keys.KeyView, keys.NewRoleKey, 201, needs="staff.write"),
    Route("GET", "/v1/keys/ending", keys.ending, keys.EndingView, needs="fleet.read"),
    Route("DELETE", "/v1/keys/{key}", keys.revoke_of_nobody, keys.Revoked, needs="staff.write"),
    Route("POST", "/v1/keys/rotate", keys.rotate, keys.RotationView, keys.Rotation, needs="keys.write"),
    Route("GET", "/v1/master", master_keys.status, master_keys.Standing, needs="master.read"),
    Route("POST", "/v1/master/rotate", master_keys.rotate, master_keys.Standing, master_keys.MasterKey, needs="master.write"),
    Route("POST", "/v1/master/verify", master_keys.verify, master_keys.Verified, master_keys.MasterKey, needs="master.write"),
    Route("POST", "/v1/master/finalize", master_keys.finalize, master_keys.Standing, needs="master.write"),
    Route("POST", "/v1/master/abort", master_keys.abort, master_keys.Standing, needs="master.write"),
    Route("GET", "/v1/ca", authorities.every, authorities.Roots, needs="ca.read"),
    Route("POST", "/v1/ca", authorities.create, authorities.Roots, authorities.NewRoot, 201, needs="ca.write"),
    Route("POST", "/v1/ca/issue", authorities.issue, authorities.Issued, authorities.NewIssuer, needs="ca.write"),
    Route("POST", "/v1/ca/finish", authorities.finish, authorities.Roots, needs="ca.write"),
    Route("GET", "/v1/proxies", proxies.every, proxies.Proxies, needs="fleet.read"),
    Route("GET", "/v1/rules", rules.export, rules.Rules, needs="rules.read"),
    Route("GET", "/v1/rules/layers", layers.every, layers.Layers, query=("tenant",), needs="rules.read"),
    Route("GET", "/v1/rules/layers/all", layers.for_all, layers.LayerView, query=("version",), needs="rules.read"),
    Route("POST", "/v1/rules/layers/all", layers.put_for_all, layers.LayerView, layers.NewVersion, needs="rules.write"),
    Route("GET", "/v1/tenants/{id}/rules/layer", layers.for_tenant, layers.LayerView, query=("version",), needs="rules.read"),
    Route("POST", "/v1/tenants/{id}/rules/layer", layers.put_for_tenant, layers.LayerView, layers.NewVersion, needs="rules.write"),
    Route("GET", "/v1/tenants/{id}/rules/own", layers.own, layers.LayerView, query=("version",), needs="rules.read"),
    Route("POST", "/v1/tenants/{id}/rules/own", layers.put_own, layers.LayerView, layers.NewVersion, needs="rules.tighten"),
    Route("GET", "/v1/audit", audit.search, audit.Page, query=(*FOUND_BY, *ON), needs="audit.read"),
    Route("GET", "/v1/audit/admin", admin_audit.search, admin_audit.Entries, query=(*admin_audit.FILTERS, *ON), needs="audit.admin"),
    Route("GET", "/v1/audit/stats", audit.stats, audit.Stats, query=FOUND_BY, needs="audit.read"),
    Route("POST", "/v1/audit/import", archive.take_in, archive.Imported, LINES, needs="audit.import"),
    Route("GET", "/v1/quarantine", quarantine.search, quarantine.Quarantine, query=ON, needs="quarantine.read"),
    Route("POST", "/v1/quarantine/replay", quarantine.replay, quarantine.Replayed, quarantine.Replay, needs="quarantine.write"),
    Route("GET", "/v1/audit/marks", marks.counts, marks.MarkCounts, query=marks.FILTERS, needs="audit.read"),
    Route("GET", "/v1/audit/{id}", audit.show, Exchange, needs="audit.read"),
    Route("GET", "/v1/audit/{id}/explanation", explanation.explain, explanation.Explanation, needs="audit.read"),
    Route("GET", "/v1/audit/{id}/marks", marks.of_exchange, marks.Marks, needs="audit.read"),
    Route("POST", "/v1/audit/{id}/marks", marks.put, marks.Marks, marks.NewMark, needs="audit.mark"),
    Route("GET", "/v1/dashboard/metrics", metrics.metrics, TEXT, needs="metrics.read"),
    Route("GET", "/v1/openapi.json", openapi.document),
    Route("GET", "/v1/docs", openapi.page),
    Route("GET", "/internal/snapshot", internal.snapshot),
    Route("POST", "/internal/keys", internal.keys),
    Route("POST", "/internal/report", internal.report),
    Route("GET", "/internal/watermark/{worker}/{boot}", internal.watermark),
)
# fmt: on
