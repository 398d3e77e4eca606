"""One call with each real SDK, as its own documents write it: a prompt in, the answer's text on standard output; whole, and streamed."""

SDKS: dict[str, str] = {
    "openai chat": """
from openai import OpenAI
print(OpenAI(api_key="sk-x").chat.completions.create(model="gpt-5.2", messages=[{"role": "user", "content": prompt}]).choices[0].message.content)
""",
    "openai responses": """
from openai import OpenAI
print(OpenAI(api_key="sk-x").responses.create(model="gpt-5.2", instructions="be brief", input=prompt).output_text)
""",
    "openai embeddings": """
from openai import OpenAI
print("You wrote", len(OpenAI(api_key="sk-x").embeddings.create(model="text-embedding-4", input=[prompt]).data))
""",
    "azure openai": """
from openai import AzureOpenAI
client = AzureOpenAI(azure_endpoint="https://acme.openai.azure.com", api_version="2024-10-21", api_key="x")
print(client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": prompt}]).choices[0].message.content)
""",
    "anthropic": """
from anthropic import Anthropic
client = Anthropic(api_key="sk-x")
print(client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": prompt}]).content[0].text)
""",
    "google-genai": """
from google import genai
client = genai.Client(api_key="x")
print(client.models.generate_content(model="gemini-3", contents=prompt).text)
""",
    "mistralai": """
try:
    from mistralai import Mistral
except ImportError:
    from mistralai.client import Mistral
print(Mistral(api_key="x").chat.complete(model="mistral-large", messages=[{"role": "user", "content": prompt}]).choices[0].message.content)
""",
    "cohere": """
import cohere
client = cohere.ClientV2(api_key="x")
print(client.chat(model="command-a", messages=[{"role": "user", "content": prompt}]).message.content[0].text)
""",
    "ollama": """
from ollama import Client
client = Client(host="https://ollama.com")
print(client.chat(model="gpt-oss", messages=[{"role": "user", "content": prompt}], stream=False).message.content)
""",
    "boto3": """
import boto3
client = boto3.client("bedrock-runtime", region_name="eu-west-3", aws_access_key_id="x", aws_secret_access_key="y")
answer = client.converse(modelId="anthropic.claude-v5", messages=[{"role": "user", "content": [{"text": prompt}]}])
print(answer["output"]["message"]["content"][0]["text"])
""",
    "litellm": """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a price list first
import litellm
messages = [{"role": "user", "content": prompt}]
print(litellm.completion(model="openai/gpt-5.2", api_key="sk-x", messages=messages).choices[0].message.content)
""",
    "langchain-openai": """
from langchain_openai import ChatOpenAI
print(ChatOpenAI(model="gpt-5.2", api_key="sk-x").invoke(prompt).content)
""",
}

# The shape that the provider streams in (tests/support/streams.py), and the call.
STREAMS: dict[str, tuple[str, str]] = {
    "openai chat": (
        "openai-chat",
        """
from openai import OpenAI
for chunk in OpenAI(api_key="sk-x").chat.completions.create(model="gpt-5.2", stream=True, messages=[{"role": "user", "content": prompt}]):
    print((chunk.choices[0].delta.content or "") if chunk.choices else "", end="", flush=True)
""",
    ),
    "openai responses": (
        "openai-responses",
        """
from openai import OpenAI
for event in OpenAI(api_key="sk-x").responses.create(model="gpt-5.2", input=prompt, stream=True):
    print(event.delta if event.type == "response.output_text.delta" else "", end="", flush=True)
""",
    ),
    "azure openai": (
        "openai-chat",
        """
from openai import AzureOpenAI
client = AzureOpenAI(azure_endpoint="https://acme.openai.azure.com", api_version="2024-10-21", api_key="x")
for chunk in client.chat.completions.create(model="gpt-5", stream=True, messages=[{"role": "user", "content": prompt}]):
    print((chunk.choices[0].delta.content or "") if chunk.choices else "", end="", flush=True)
""",
    ),
    "anthropic": (
        "anthropic-messages",
        """
from anthropic import Anthropic
with Anthropic(api_key="sk-x").messages.stream(model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": prompt}]) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
""",
    ),
    "google-genai": (
        "gemini-sse",
        """
from google import genai
client = genai.Client(api_key="x")
for chunk in client.models.generate_content_stream(model="gemini-3", contents=prompt):
    for part in chunk.candidates[0].content.parts or ():
        print(part.text or "", end="", flush=True)
""",
    ),
    "mistralai": (
        "mistral-chat",
        """
try:
    from mistralai import Mistral
except ImportError:
    from mistralai.client import Mistral
for event in Mistral(api_key="x").chat.stream(model="mistral-large", messages=[{"role": "user", "content": prompt}]):
    choice = event.data.choices[0] if event.data.choices else None
    if choice and choice.finish_reason == "error":
        raise SystemExit(choice.delta.content)
    print((choice.delta.content or "") if choice else "", end="", flush=True)
""",
    ),
    "cohere": (
        "cohere-chat",
        """
import cohere
for event in cohere.ClientV2(api_key="x").chat_stream(model="command-a", messages=[{"role": "user", "content": prompt}]):
    if event.type == "content-delta":
        print(event.delta.message.content.text, end="", flush=True)
    if event.type == "message-end" and event.delta.finish_reason == "ERROR":
        raise SystemExit(event.delta.error)
""",
    ),
    "ollama": (
        "ollama",
        """
from ollama import Client
for part in Client(host="https://ollama.com").chat(model="gpt-oss", messages=[{"role": "user", "content": prompt}], stream=True):
    print(part.message.content or "", end="", flush=True)
""",
    ),
    "boto3": (
        "bedrock-converse",
        """
import boto3
client = boto3.client("bedrock-runtime", region_name="eu-west-3", aws_access_key_id="x", aws_secret_access_key="y")
answer = client.converse_stream(modelId="anthropic.claude-v5", messages=[{"role": "user", "content": [{"text": prompt}]}])
for event in answer["stream"]:
    print(event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""), end="", flush=True)
""",
    ),
    "litellm": (
        "openai-chat",
        """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a price list first
import litellm
messages = [{"role": "user", "content": prompt}]
for chunk in litellm.completion(model="openai/gpt-5.2", api_key="sk-x", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
""",
    ),
    "langchain-openai": (
        "openai-chat",
        """
from langchain_openai import ChatOpenAI
for chunk in ChatOpenAI(model="gpt-5.2", api_key="sk-x").stream(prompt):
    print(chunk.content, end="", flush=True)
""",
    ),
}
