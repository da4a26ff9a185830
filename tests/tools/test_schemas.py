"""What a model is shown of every tool: business arguments only, and a docstring that says when to use it."""

import json
from typing import Any, cast

import pytest
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from tools import courses, goals, history, rag, snapshots, tasks
from tools.context import Effect, effect_of

ALL: tuple[BaseTool, ...] = (*goals.TOOLS, *tasks.TOOLS, *courses.TOOLS, *history.TOOLS, *snapshots.TOOLS, *rag.TOOLS)
HIDDEN = ("runtime", "user", "principal", "context", "tenant", "role", "version", "now", "thread", "token")


@pytest.mark.parametrize("tool", ALL, ids=lambda tool: tool.name)
@pytest.mark.parametrize("strict", [False, True])
def test_no_hidden_argument_reaches_the_schema(tool: BaseTool, strict: bool) -> None:
    shown: dict[str, Any] = convert_to_openai_tool(tool, strict=strict)["function"]
    names = set(shown["parameters"]["properties"])
    assert names == set(cast(Any, tool.tool_call_schema).model_json_schema().get("properties", {}))
    assert not [name for name in names if any(hidden in name for hidden in HIDDEN)]
    assert "ToolRuntime" not in json.dumps(shown)


@pytest.mark.parametrize("tool", ALL, ids=lambda tool: tool.name)
def test_every_tool_says_what_it_is_for(tool: BaseTool) -> None:
    assert len(tool.description) > 60
    assert len(tool.description) < 800


def test_tools_that_cannot_be_undone_or_show_foreign_text_say_so() -> None:
    by_effect = {effect: sorted(t.name for t in ALL if effect_of(t) is effect) for effect in Effect}
    assert by_effect[Effect.DESTROY] == ["delete_goal", "delete_snapshot", "delete_task"]
    assert by_effect[Effect.FOREIGN_READ] == [
        "get_course",
        "get_course_documentation",
        "get_similar_code",
        "get_similar_goals",
        "list_courses",
        "search_knowledge_base",
    ]
    assert all(name.startswith(("get_", "list_", "entity_", "replay_")) for name in by_effect[Effect.READ])
