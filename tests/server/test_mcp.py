"""The MCP server, by the client of the official SDK over stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="the MCP SDK is not installed: make test-server")

from mcp import Client, StdioServerParameters
from serving import COUNT, embed, make_documents

import qama


def talk(folder, conversation, *arguments):
    """Run a conversation with `qama mcp` as a process."""
    process = StdioServerParameters(
        command=sys.executable, args=["-m", "qama", "mcp", str(folder), *arguments],
        env={"PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip

    async def main():
        async with Client(process) as client:
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(main(), 120))


async def said(client, tool, **arguments):
    answer = await client.call_tool(tool, arguments)
    if answer.is_error:
        return answer.content[0].text
    return answer.structured_content["result"]


def test_a_model_finds_and_reads_documents(tmp_path):
    folder = make_documents(tmp_path / "library")
    with qama.Documents.open(folder, embed=embed) as docs:
        hits = docs.search("page 7", 4, text="page 7", where={"odd": True})
        wanted = [vars(hit) for hit in hits]
        read = [vars(document) for document in docs.get(["d7", "d2"])]

    async def conversation(client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {*tools} == {"search", "get"}
        assert {*tools["search"].input_schema["properties"]} == {"question", "k", "where"}
        assert await said(client, "search", question="page 7", k=4, where={"odd": True}) == wanted
        assert len(await said(client, "search", question="page 7")) == 5
        assert await said(client, "get", ids=["d7", "none", "d2"]) == read

    talk(folder, conversation, "--embed", "serving:embed")


def test_without_an_embedder_words_are_searched(tmp_path):
    folder = make_documents(tmp_path / "library")
    with qama.Documents.open(folder) as docs:
        wanted = [vars(hit) for hit in docs.search(text="page 11", k=3)]

    async def conversation(client):
        assert await said(client, "search", question="page 11", k=3) == wanted

    talk(folder, conversation)


def test_unfitting_calls_are_told_and_the_server_goes_on(tmp_path):
    folder = make_documents(tmp_path / "library")

    async def conversation(client):
        for tool, arguments, wanted in (
            ("search", {"question": "a", "k": 0}, "greater than or equal to 1"),
            ("search", {"question": "a", "k": 101}, "less than or equal to 100"),
            ("search", {"question": "a", "where": {"$no": 1}}, "unknown operator '$no'"),
            ("search", {}, "question"),
            ("get", {"ids": [""]}, "an id is ''"),
            ("get", {"ids": ["a"] * 101}, "at most 100"),
        ):
            assert wanted in await said(client, tool, **arguments)
        assert len(await said(client, "get", ids=["d1"])) == 1

    talk(folder, conversation)
    assert len(qama.Documents.open(folder, "a")) == COUNT
