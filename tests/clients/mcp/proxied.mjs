// Leads what a program asks of ports on this machine through the proxy, as calls of two hosts: of the tools' own, whose URL the program
// was given, and of the one for all else, where people log in.
import { ProxyAgent, setGlobalDispatcher } from "undici";

const { PROXY_URL: uri, TOOLS_HOST, LOGIN_HOST } = process.env;
const tools = new URL(process.argv.find((word) => word.startsWith("http://localhost:")));
// the host stays the one that was connected to, whatever a call's own head says
const agents = Object.fromEntries(
  [TOOLS_HOST, LOGIN_HOST].map((servername) => [servername, new ProxyAgent({ uri, requestTls: { servername } })]),
);

setGlobalDispatcher(
  agents[TOOLS_HOST].compose(() => (options, handler) => {
    const { host: asked, port } = new URL(options.origin);
    const host = asked === tools.host ? TOOLS_HOST : LOGIN_HOST;
    const headers = Object.fromEntries(Object.entries(options.headers).filter(([, value]) => value !== asked));
    return agents[host].dispatch({ ...options, origin: `https://${host}`, headers: { ...headers, "x-port": port } }, handler);
  }),
);
