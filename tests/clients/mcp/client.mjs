// A client of tools that does what the conformance suite's scenario asks of one.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { auth, extractWWWAuthenticateParams } from "@modelcontextprotocol/sdk/client/auth.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const url = new URL(process.argv[2]);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const told = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const REDIRECT = "http://localhost:3000/callback";
const CIMD = "https://conformance-test.local/client-metadata.json";

// Whoever is to log in does so at once: the code is taken from where the browser would be led.
class Provider {
  redirectUrl = REDIRECT;
  clientMetadata = { client_name: "client", redirect_uris: [REDIRECT] };
  clientMetadataUrl = CIMD;
  constructor(information) {
    this.information = information;
  }
  clientInformation = () => this.information;
  saveClientInformation = (information) => (this.information = information);
  tokens = () => this.given;
  saveTokens = (tokens) => (this.given = tokens);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => (this.verifier = verifier);
  async redirectToAuthorization(where) {
    const answer = await fetch(where, { redirect: "manual" });
    this.code = new URL(answer.headers.get("location")).searchParams.get("code");
  }
}

// A fetch that authorizes itself once, whenever it is told to.
function authorizing(provider) {
  const send = (input, init) => {
    const headers = new Headers(init?.headers);
    if (provider.given) headers.set("authorization", `Bearer ${provider.given.access_token}`);
    return fetch(input, { ...init, headers });
  };
  return async (input, init) => {
    const answer = await send(input, init);
    if (![401, 403].includes(answer.status)) return answer;
    const how = { serverUrl: url, ...extractWWWAuthenticateParams(answer), fetchFn: fetch };
    if ((await auth(provider, how)) === "REDIRECT") await auth(provider, { ...how, authorizationCode: provider.code });
    const again = await send(input, init);
    if ([401, 403].includes(again.status)) throw new Error(`not authorized: ${again.status}`);
    return again;
  };
}

async function form(where, fields, headers = {}) {
  const answer = await fetch(where, { method: "POST", headers, body: new URLSearchParams(fields) });
  return (await answer.json()).access_token;
}

const json = async (where) => (await fetch(where)).json();

// A token of one company's, exchanged for another one's.
async function exchanged() {
  const kind = "urn:ietf:params:oauth";
  const { resource, authorization_servers: servers } = await json(new URL("/.well-known/oauth-protected-resource/mcp", url));
  const { token_endpoint: endpoint, issuer } = await json(new URL("/.well-known/oauth-authorization-server", servers[0]));
  const assertion = await form(told.idp_token_endpoint, {
    grant_type: `${kind}:grant-type:token-exchange`,
    requested_token_type: `${kind}:token-type:id-jag`,
    audience: issuer,
    resource,
    subject_token: told.idp_id_token,
    subject_token_type: `${kind}:token-type:id_token`,
    client_id: told.idp_client_id,
  });
  const basic = Buffer.from(`${told.client_id}:${told.client_secret}`).toString("base64");
  const grant = { grant_type: `${kind}:grant-type:jwt-bearer`, assertion };
  return form(endpoint, grant, { authorization: `Basic ${basic}` });
}

async function way() {
  const { client_id: clientId, client_secret: clientSecret } = told;
  if (scenario === "auth/client-credentials-jwt")
    return { authProvider: new PrivateKeyJwtProvider({ clientId, privateKey: told.private_key_pem, algorithm: told.signing_algorithm }) };
  if (scenario === "auth/client-credentials-basic") return { authProvider: new ClientCredentialsProvider({ clientId, clientSecret }) };
  if (scenario === "auth/cross-app-access-complete-flow")
    return { requestInit: { headers: { authorization: `Bearer ${await exchanged()}` } } };
  const known = clientId && { client_id: clientId, client_secret: clientSecret, redirect_uris: [REDIRECT] };
  return scenario.startsWith("auth/") ? { fetch: authorizing(new Provider(known)) } : {};
}

const client = new Client({ name: "client", version: "1.0.0" }, { capabilities: { elicitation: { form: { applyDefaults: true } } } });
client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: {} }));
await client.connect(new StreamableHTTPClientTransport(url, await way()));
const { tools } = await client.listTools();
for (const { name, inputSchema } of tools) {
  const needed = (inputSchema.required ?? []).map((field, at) => [field, at + 1]);
  await client.callTool({ name, arguments: Object.fromEntries(needed) });
}
await client.close();
process.exit(0);
