"""Random credentials, each exactly as its vendor documents the format.

Plain formats are one-line templates (see `draw.fill`); those with an inner structure come from
`credential_blocks`. No value is real: every one is drawn at random.
"""

from collections.abc import Callable
from random import Random

from bench.corpus import credential_blocks as blocks
from bench.corpus.draw import fill
from bench.corpus.encodings import b64url, checked_token

Maker = Callable[[Random], str]

_TEMPLATES: dict[str, tuple[str, ...]] = {
    # cloud and hosting
    "aws_access_key_id": ("AKIA{B:16}", "ASIA{B:16}"),
    "azure_client_secret": ("{a:3}8Q~{u:34}",),
    "alibaba_access_key": ("LTAI5t{a:18}",),
    "digitalocean": ("dop_v1_{h:64}", "doo_v1_{h:64}", "dor_v1_{h:64}"),
    "fly": ("FlyV1 fm2_{b:140-300}",),
    "heroku": ("HRKU-AA{u:58}", "HRKU-{uuid}"),
    "netlify": ("nfp_{a:36}",),
    "cloudflare_origin_ca": ("v1.0-{h:24}-{h:146}",),
    "google_api_key": ("AIzaSy{u:33}",),
    "google_oauth_secret": ("GOCSPX-{u:28}",),
    "google_oauth_access": ("ya29.a0{u:160-200}",),
    "google_refresh_token": ("1//0{d:1}{u:98}",),
    # source code and packages
    "github_fine_grained": ("github_pat_{a:22}_{a:59}",),
    "gitlab_personal": ("glpat-{u:20}", "glpat-{u:27}.01.{l:9}"),
    "gitlab_deploy": ("gldt-{u:20}",),
    "gitlab_runner": ("glrt-{u:20}",),
    "gitlab_trigger": ("glptt-{h:40}",),
    "bitbucket_app_password": ("ATBB{a:24}{H:8}",),
    "docker_hub": ("dckr_pat_{u:27}",),
    "rubygems": ("rubygems_{h:48}",),
    "crates_io": ("cio{a:32}",),
    "nuget": ("oy2{c:43}",),
    "clojars": ("CLOJARS_{h:60}",),
    "artifactory_key": ("AKCp{a:69}",),
    "sourcegraph": ("sgp_{h:16}_{h:40}",),
    "sonarqube": ("squ_{h:40}", "sqp_{h:40}", "sqa_{h:40}"),
    "buildkite": ("bkua_{h:40}",),
    "circleci": ("CCIPAT_{s:22}_{h:40}",),
    # chat, mail and telephony
    "slack_bot": ("xoxb-{d:12}-{d:13}-{a:24}",),
    "slack_user": ("xoxp-{d:12}-{d:12}-{d:13}-{h:32}",),
    "slack_app": ("xapp-1-A0{U:9}-{d:13}-{h:64}",),
    "slack_webhook": ("https://hooks.slack.com/services/T0{U:9}/B0{U:9}/{a:24}",),
    "teams_webhook": (
        "https://{z:6-10}.webhook.office.com/webhookb2/{uuid}@{uuid}/IncomingWebhook/{h:32}/{uuid}",
    ),
    "discord_webhook": ("https://discord.com/api/webhooks/1{d:18}/{u:68}",),
    "telegram_bot": ("7{d:9}:AA{u:33}", "6{d:9}:AA{u:33}"),
    "twilio_key": ("SK{h:32}",),
    "sendgrid": ("SG.{u:22}.{u:43}",),
    "mailgun": ("key-{h:32}", "{h:32}-{h:8}-{h:8}"),
    "mailchimp": ("{h:32}-us{d:1}", "{h:32}-us1{d:1}"),
    "brevo": ("xkeysib-{h:64}-{a:16}",),
    "brevo_smtp": ("xsmtpsib-{h:64}-{a:16}",),
    "resend": ("re_{a:8}_{a:24}",),
    # payments and shops
    "stripe_live": ("sk_live_51{a:97}", "sk_live_{a:24}"),
    "stripe_restricted": ("rk_live_51{a:97}", "rk_live_{a:24}"),
    "stripe_webhook": ("whsec_{a:32}",),
    "paystack": ("sk_live_{h:40}",),
    "flutterwave": ("FLWSECK-{h:32}-X",),
    "braintree": ("access_token$production${l:16}${h:32}",),
    "square_access": ("EAAA{u:60}",),
    "square_oauth": ("sq0csp-{u:43}",),
    "shopify": ("shpat_{h:32}", "shpca_{h:32}", "shppa_{h:32}", "shpss_{h:32}"),
    "woocommerce": ("cs_{h:40}",),
    "plaid": ("access-production-{uuid}",),
    "shippo": ("shippo_live_{h:40}",),
    "easypost": ("EZAK{a:54}",),
    "duffel": ("duffel_live_{u:43}",),
    # artificial intelligence
    "openai_project": ("sk-proj-{u:74}T3BlbkFJ{u:74}",),
    "openai_service": ("sk-svcacct-{u:74}T3BlbkFJ{u:74}",),
    "openai_legacy": ("sk-{a:20}T3BlbkFJ{a:20}",),
    "anthropic": ("sk-ant-api03-{u:93}AA",),
    "anthropic_admin": ("sk-ant-admin01-{u:93}AA",),
    "huggingface": ("hf_{a:34}",),
    "groq": ("gsk_{a:20}WGdyb3FY{a:24}",),
    "xai": ("xai-{a:80}",),
    "replicate": ("r8_{a:37}",),
    "perplexity": ("pplx-{a:48}",),
    "openrouter": ("sk-or-v1-{h:64}",),
    "deepseek": ("sk-{h:32}",),
    "nvidia": ("nvapi-{u:64}",),
    "cerebras": ("csk-{l:48}",),
    "pinecone": ("pcsk_{a:6}_{a:63}",),
    "e2b": ("e2b_{h:40}",),
    "apify": ("apify_api_{a:36}",),
    "context7": ("ctx7sk-{uuid}",),
    "daytona": ("dtn_{h:64}",),
    "browserbase": ("bb_live_{u:27}",),
    "polar": ("polar_oat_{a:43}",),
    "tavily": ("tvly-dev-{a:32}", "tvly-{a:32}"),
    "langsmith": ("lsv2_pt_{h:32}_{h:10}",),
    "langfuse": ("sk-lf-{uuid}",),
    "elevenlabs": ("sk_{h:48}",),
    # work tools
    "atlassian": ("ATATT3xFfGF0{u:171}={H:8}",),
    "trello": ("ATTA{h:72}",),
    "linear": ("lin_api_{a:40}",),
    "notion": ("ntn_{d:11}{a:35}", "secret_{a:43}"),
    "airtable": ("pat{a:14}.{h:64}",),
    "figma": ("figd_{u:40}",),
    "asana": ("1/12{d:14}:{h:32}",),
    "clickup": ("pk_{d:8}_{U:32}",),
    "postman": ("PMAK-{h:24}-{h:34}",),
    "contentful": ("CFPAT-{u:43}",),
    "typeform": ("tfp_{a:44}_{a:14}",),
    "hubspot": ("pat-na1-{uuid}", "pat-eu1-{uuid}"),
    "dropbox": ("sl.B{u:135}",),
    "okta": ("Authorization: SSWS 00{u:40}",),
    # data and monitoring
    "databricks": ("dapi{h:32}", "dapi{h:32}-2"),
    "grafana_service": ("glsa_{a:32}_{h:8}",),
    "new_relic_user": ("NRAK-{U:27}",),
    "new_relic_license": ("{h:36}NRAL",),
    "dynatrace": ("dt0c01.{B:24}.{B:64}",),
    "datadog_assignment": ("DD_API_KEY={h:32}", "DD_APP_KEY={h:40}"),
    "wandb_assignment": ("WANDB_API_KEY={h:40}",),
    "sentry_user": ("sntryu_{h:64}",),
    "axiom": ("xaat-{uuid}",),
    "launchdarkly": ("sdk-{uuid}", "api-{uuid}"),
    "planetscale": ("pscale_tkn_{u:43}", "pscale_pw_{u:43}"),
    "supabase": ("sbp_{h:40}", "sb_secret_{u:22}_{u:8}"),
    "neon": ("napi_{l:64}",),
    "mongodb_atlas": ("mdb_sa_sk_{u:40}",),
    # infrastructure
    "vault_service": ("hvs.CAESI{u:88-104}", "hvs.{a:24}"),
    "vault_batch": ("hvb.AAAAAQ{u:138-180}",),
    "terraform_cloud": ("{a:14}.atlasv1.{a:67}",),
    "doppler": ("dp.pt.{a:43}", "dp.st.prd.{a:43}"),
    "pulumi": ("pul-{h:40}",),
    "tailscale": ("tskey-auth-k{a:10}CNTRL-{a:32}", "tskey-api-k{a:10}CNTRL-{a:32}"),
    "prefect": ("pnu_{a:36}",),
    "adafruit": ("aio_{a:28}",),
    "readme": ("rdme_{l:70}",),
    "deno_deploy": ("ddp_{a:36}",),
    "onepassword_secret_key": ("A3-{U:6}-{U:6}-{U:5}-{U:5}-{U:5}-{U:5}",),
}


def _template(templates: tuple[str, ...]) -> Maker:
    return lambda rng: fill(rng, rng.choice(templates))


def _checked(*prefixes: str) -> Maker:
    return lambda rng: checked_token(rng, rng.choice(prefixes))


def _database(schemes: str, port: int) -> Maker:
    return lambda rng: blocks.database_url(rng, schemes, port)


def _kubernetes_bootstrap(rng: Random) -> str:
    return (
        f"kubeadm join 10.0.{rng.randint(0, 9)}.{rng.randint(2, 250)}:6443 --token "
        + fill(rng, "{l:6}.{l:16}")
    )


def _session_cookie(rng: Random) -> str:
    return "Cookie: session=" + b64url(rng.randbytes(48))


CREDENTIALS: dict[str, Maker] = {
    **{name: _template(templates) for name, templates in _TEMPLATES.items()},
    "github_classic": _checked("ghp_"),
    "github_app": _checked("ghs_", "ghu_", "gho_", "ghr_"),
    "npm": _checked("npm_"),
    "aws_secret": blocks.aws_secret,
    "aws_bedrock": blocks.aws_bedrock,
    "azure_storage": blocks.azure_storage,
    "azure_service_bus": blocks.azure_service_bus,
    "azure_sas": blocks.azure_sas,
    "gcp_service_account": blocks.gcp_service_account,
    "pypi": blocks.pypi,
    "discord_bot": blocks.discord_bot,
    "grafana_cloud": blocks.grafana_cloud,
    "sentry_org": blocks.sentry_org,
    "mapbox_secret": blocks.mapbox_secret,
    "onepassword_service": blocks.onepassword_service,
    "pem_rsa": blocks.pem_rsa,
    "pem_pkcs8": blocks.pem_pkcs8,
    "pem_ec": blocks.pem_ec,
    "pem_encrypted": blocks.pem_encrypted,
    "pem_openssh": blocks.pem_openssh,
    "pgp_private": blocks.pgp_private,
    "jwt": blocks.jwt,
    "postgres_url": _database("postgres postgresql postgresql+psycopg", 5432),
    "mysql_url": _database("mysql mysql+pymysql mariadb", 3306),
    "mongodb_url": _database("mongodb mongodb+srv", 27017),
    "amqp_url": _database("amqp amqps", 5672),
    "redis_url": blocks.redis_url,
    "sqlserver": blocks.sqlserver,
    "basic_auth_url": blocks.basic_auth_url,
    "password_assignment": blocks.password_assignment,
    "secret_assignment": blocks.secret_assignment,
    "bearer_header": blocks.bearer,
    "basic_header": blocks.basic_header,
    "curl_user": blocks.curl_user,
    "netrc": blocks.netrc,
    "npmrc": blocks.npmrc,
    "docker_auth": blocks.docker_auth,
    "kubeadm_join": _kubernetes_bootstrap,
    "session_cookie": _session_cookie,
    "age_secret": blocks.age_secret,
    "nostr_secret": blocks.nostr_secret,
    "xprv": blocks.xprv,
    "bitcoin_wif": blocks.bitcoin_wif,
}
