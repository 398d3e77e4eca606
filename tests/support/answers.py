"""What pretend providers answer beyond the two that the demo knows: the smallest whole answer that each SDK takes."""

from typing import Any

# that the shipped list has patterns for
HOSTS = (
    "bedrock-runtime.eu-west-3.amazonaws.com",
    "acme.openai.azure.com",
    "acme.cursor.sh",
)


def whole(path: str, call: dict[str, Any], text: str) -> Any:
    """The answer to a call of this path, or None."""
    tokens = {"input_tokens": 11, "output_tokens": 5}
    if path.endswith("/responses"):
        said = {"type": "output_text", "text": text, "annotations": []}
        item = {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [said],
        }
        usage = {
            **tokens,
            "total_tokens": 16,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        about = {
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
            "status": "completed",
            "model": call.get("model", ""),
        }
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 0,
            "output": [item],
            "usage": usage,
            **about,
        }
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return {
            "object": "list",
            "data": data,
            "model": "m",
            "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
        }
    if path.endswith("/chat/completions"):
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
    if ":generateContent" in path:
        content = {"role": "model", "parts": [{"text": text}]}
        usage = {
            "promptTokenCount": 11,
            "candidatesTokenCount": 5,
            "totalTokenCount": 16,
        }
        return {
            "candidates": [{"content": content, "finishReason": "STOP"}],
            "usageMetadata": usage,
        }
    if path.endswith("/converse"):
        message = {"role": "assistant", "content": [{"text": text}]}
        usage = {"inputTokens": 11, "outputTokens": 5, "totalTokens": 16}
        return {
            "output": {"message": message},
            "stopReason": "end_turn",
            "usage": usage,
            "metrics": {"latencyMs": 1},
        }
    if path == "/v2/chat":
        message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
        return {
            "id": "1",
            "finish_reason": "COMPLETE",
            "message": message,
            "usage": {"tokens": tokens},
        }
    if path == "/api/chat":
        message = {"role": "assistant", "content": text}
        counts = {"prompt_eval_count": 11, "eval_count": 5}
        return {
            "model": "m",
            "created_at": "2026-01-01T00:00:00Z",
            "message": message,
            "done": True,
            **counts,
        }
    return None
