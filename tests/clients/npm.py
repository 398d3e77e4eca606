"""The SDKs of npm: a program for each, which says what came back. Node 20's own fetch ignores proxy variables, so undici is told of them."""

PROXIED = """
import { setGlobalDispatcher, EnvHttpProxyAgent } from "undici";
setGlobalDispatcher(new EnvHttpProxyAgent());
const prompt = process.argv[2];
const say = (text) => process.stdout.write(text ?? "");
"""
OPENAI = 'import OpenAI from "openai"; const client = new OpenAI({ apiKey: "sk-x" });\n'
ANTHROPIC = 'import Anthropic from "@anthropic-ai/sdk"; const client = new Anthropic({ apiKey: "sk-x" });\n'
GOOGLE = 'import { GoogleGenAI } from "@google/genai"; const client = new GoogleGenAI({ apiKey: "x" });\n'
VERCEL = """
import { generateText, streamText, tool, jsonSchema } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
const model = createOpenAI({ apiKey: "sk-x" })("gpt-5.2");
"""
MESSAGES = 'messages: [{ role: "user", content: prompt }]'

SDKS: dict[str, str] = {
    "openai (npm) chat": OPENAI
    + f'say((await client.chat.completions.create({{ model: "gpt-5.2", {MESSAGES} }})).choices[0].message.content);',
    "openai (npm) responses": OPENAI
    + 'say((await client.responses.create({ model: "gpt-5.2", input: prompt })).output_text);',
    "@anthropic-ai/sdk": ANTHROPIC
    + f'say((await client.messages.create({{ model: "claude-sonnet-5", max_tokens: 9, {MESSAGES} }})).content[0].text);',
    "@google/genai": GOOGLE
    + 'say((await client.models.generateContent({ model: "gemini-3", contents: prompt })).text);',
    "ai (Vercel)": VERCEL + "say((await generateText({ model, prompt })).text);",
}

# The shape that the provider streams in, and the program.
STREAMS: dict[str, tuple[str, str]] = {
    "openai (npm) chat": (
        "openai-chat",
        OPENAI
        + f'for await (const chunk of await client.chat.completions.create({{ model: "gpt-5.2", stream: true, {MESSAGES} }}))'
        + " say(chunk.choices[0]?.delta?.content);",
    ),
    "openai (npm) responses": (
        "openai-responses",
        OPENAI
        + 'for await (const event of await client.responses.create({ model: "gpt-5.2", input: prompt, stream: true }))'
        + ' if (event.type === "response.output_text.delta") say(event.delta);',
    ),
    "@anthropic-ai/sdk": (
        "anthropic-messages",
        ANTHROPIC
        + f'const stream = client.messages.stream({{ model: "claude-sonnet-5", max_tokens: 9, {MESSAGES} }});'
        + ' stream.on("text", say); await stream.finalMessage();',
    ),
    "@google/genai": (
        "gemini-sse",
        GOOGLE
        + 'for await (const chunk of await client.models.generateContentStream({ model: "gemini-3", contents: prompt }))'
        + " for (const part of chunk.candidates?.[0]?.content?.parts ?? []) say(part.text);",
    ),
    "ai (Vercel)": (
        "openai-responses",
        VERCEL
        + 'const tools = { shell: tool({ inputSchema: jsonSchema({ type: "object" }) }) };'
        + "for await (const part of streamText({ model, prompt, tools, onError: () => {} }).fullStream) {"
        + ' if (part.type === "error") throw part.error; if (part.type === "text-delta") say(part.text); }',
    ),
}
