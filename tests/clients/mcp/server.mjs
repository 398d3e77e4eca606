// A server of tools that has everything the conformance suite asks of one. It says its port once it listens.
import { randomUUID } from "node:crypto";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const text = (said) => ({ type: "text", text: said });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const resource = (uri, said, mimeType = "text/plain") => ({ type: "resource", resource: { uri, mimeType, text: said } });
const string = { type: "string" };
const options = ["option1", "option2", "option3"];
const titled = ["First", "Second", "Third"].map((title, at) => ({ const: `value${at + 1}`, title: `${title} Choice` }));

const DEFAULTS = {
  name: { ...string, default: "John Doe" },
  age: { type: "integer", default: 30 },
  score: { type: "number", default: 95.5 },
  status: { ...string, enum: ["active", "inactive", "pending"], default: "active" },
  verified: { type: "boolean", default: true },
};
const CHOICES = {
  untitledSingle: { ...string, enum: options },
  titledSingle: { ...string, oneOf: titled },
  legacyEnum: { ...string, enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
  untitledMulti: { type: "array", items: { ...string, enum: options } },
  titledMulti: { type: "array", items: { anyOf: titled } },
};
const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: { address: { type: "object", properties: { street: string, city: string } } },
  properties: { name: string, address: { $ref: "#/$defs/address" } },
  additionalProperties: false,
};

// What a tool does asks its own call's stream, so that it does not depend on another one being there.
async function elicit(call, message, properties) {
  const params = { message, requestedSchema: { type: "object", properties } };
  const said = await call.sendRequest({ method: "elicitation/create", params }, types.ElicitResultSchema);
  return [text(`User response: action=${said.action}, content=${JSON.stringify(said.content ?? {})}`)];
}

async function sample(call, prompt) {
  const params = { messages: [{ role: "user", content: text(prompt) }], maxTokens: 100 };
  const said = await call.sendRequest({ method: "sampling/createMessage", params }, types.CreateMessageResultSchema);
  return [text(`LLM response: ${said.content.text}`)];
}

async function log(call) {
  for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"])
    await call.sendNotification({ method: "notifications/message", params: { level: "info", data } });
  return [text("Tool with logging executed successfully")];
}

async function progress(call) {
  const { progressToken } = call._meta;
  for (const done of [0, 50, 100])
    await call.sendNotification({ method: "notifications/progress", params: { progressToken, progress: done, total: 100 } });
  return [text(String(progressToken))];
}

async function reconnect(call) {
  await call.sendNotification({ method: "notifications/message", params: { level: "info", data: "come again" } });
  sessions.get(call.sessionId).closeSSEStream(call.requestId);
  return [text("Reconnection test completed successfully.")];
}

const TOOLS = {
  test_simple_text: () => [text("This is a simple text response for testing.")],
  test_image_content: () => [image],
  test_audio_content: () => [{ type: "audio", data: WAV, mimeType: "audio/wav" }],
  test_embedded_resource: () => [resource("test://embedded-resource", "This is an embedded resource content.")],
  test_multiple_content_types: () => [
    text("Multiple content types test:"),
    image,
    resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
  ],
  test_tool_with_logging: log,
  test_tool_with_progress: progress,
  test_error_handling: () => {
    throw new Error("This tool intentionally returns an error for testing");
  },
  test_reconnection: reconnect,
  test_sampling: (call, given) => sample(call, given.prompt),
  test_elicitation: (call, given) => elicit(call, given.message, { username: string, email: string }),
  test_elicitation_sep1034_defaults: (call) => elicit(call, "Please review the form", DEFAULTS),
  test_elicitation_sep1330_enums: (call) => elicit(call, "Please select options", CHOICES),
  json_schema_2020_12_tool: (call, given) => [text(`Called with: ${JSON.stringify(given)}`)],
};
const RESOURCES = {
  "test://static-text": { mimeType: "text/plain", text: "This is the content of the static text resource." },
  "test://static-binary": { mimeType: "image/png", blob: PNG },
  "test://watched-resource": { mimeType: "text/plain", text: "Watched resource content" },
};
const PROMPTS = {
  test_simple_prompt: () => [text("This is a simple prompt for testing.")],
  test_prompt_with_arguments: ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  test_prompt_with_embedded_resource: ({ resourceUri }) => [
    resource(resourceUri, "Embedded resource content for testing."),
    text("Please process the embedded resource above."),
  ],
  test_prompt_with_image: () => [image, text("Please analyze the image above.")],
};

async function call({ params }, extra) {
  try {
    return { content: await TOOLS[params.name](extra, params.arguments ?? {}) };
  } catch (error) {
    return { content: [text(error.message)], isError: true };
  }
}

function read({ params: { uri } }) {
  const id = /^test:\/\/template\/(\w+)\/data$/.exec(uri)?.[1];
  const filled = { mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) };
  return { contents: [{ uri, ...(RESOURCES[uri] ?? filled) }] };
}

const HANDLERS = new Map([
  [types.ListToolsRequestSchema, () => ({
    tools: Object.keys(TOOLS).map((name) => ({
      name, description: `Does ${name}`, inputSchema: name === "json_schema_2020_12_tool" ? SCHEMA : { type: "object" },
    })),
  })],
  [types.CallToolRequestSchema, call],
  [types.ListResourcesRequestSchema, () => ({ resources: Object.keys(RESOURCES).map((uri) => ({ uri, name: uri, description: uri, mimeType: RESOURCES[uri].mimeType })) })],
  [types.ReadResourceRequestSchema, read],
  [types.SubscribeRequestSchema, () => ({})],
  [types.UnsubscribeRequestSchema, () => ({})],
  [types.ListPromptsRequestSchema, () => ({ prompts: Object.keys(PROMPTS).map((name) => ({ name, description: `Says ${name}` })) })],
  [types.GetPromptRequestSchema, ({ params }) => ({
    messages: PROMPTS[params.name](params.arguments ?? {}).map((content) => ({ role: "user", content })),
  })],
  [types.CompleteRequestSchema, () => ({ completion: { values: ["paris"], total: 1, hasMore: false } })],
]);

const sessions = new Map();
const events = [];
const eventStore = {
  storeEvent: async (stream, message) => String(events.push([stream, message])),
  replayEventsAfter: async (last, { send }) => {
    const [wanted] = events[last - 1];
    for (const [at, [stream, message]] of events.entries())
      if (at >= last && stream === wanted) await send(String(at + 1), message);
    return wanted;
  },
};

async function open() {
  const capabilities = { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} };
  const server = new Server({ name: "everything", version: "1.0.0" }, { capabilities });
  HANDLERS.forEach((handler, schema) => server.setRequestHandler(schema, handler));
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  await server.connect(transport);
  return transport;
}

const app = createMcpExpressApp();
app.all("/mcp", async (request, response) => {
  const known = sessions.get(request.headers["mcp-session-id"]);
  await (known ?? (await open())).handleRequest(request, response, request.body);
});
const listener = app.listen(0, "localhost", () => console.log(listener.address().port));
