"""One call with each real SDK, as its own documents write it: a prompt in, the answer's text on standard output."""

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
