"""The page: it is whole, it loads nothing from elsewhere, and its policy allows no inline code."""

import re

import httpx
import pytest

ASSETS = re.compile(r'"(/page/[\w.-]+)"')


async def test_everything_the_page_asks_for_is_there(anonymous: httpx.AsyncClient) -> None:
    todo, seen = ["/"], set[str]()
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        answer = await anonymous.get(place)
        assert answer.status_code == 200, place
        todo += ASSETS.findall(answer.text)
    assert {"/page/main.js", "/page/chat.js", "/page/live.js", "/page/app.css", "/page/icon.svg"} <= seen


async def test_the_policy_allows_only_what_the_page_brings(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    for forbidden in (r"<script>", r"<style", r" style=", r" on\w+=", r"https?://"):
        assert not re.search(forbidden, answer.text), forbidden


async def test_a_page_that_has_not_changed_is_not_sent_again(anonymous: httpx.AsyncClient) -> None:
    first = await anonymous.get("/page/app.css")
    again = await anonymous.get("/page/app.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2F__init__.py", ".hidden.js", "app.css%00.js", "x"])
async def test_nothing_but_the_page_is_served(anonymous: httpx.AsyncClient, name: str) -> None:
    answer = await anonymous.get(f"/page/{name}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


async def test_texts_never_become_markup(anonymous: httpx.AsyncClient) -> None:
    for name in ("main", "board", "chat", "events", "wire", "live", "dom", "markdown", "api"):
        source = (await anonymous.get(f"/page/{name}.js")).text
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", source), name


async def test_the_reader_of_the_document_says_where_it_is_when_it_cannot_be_loaded(
    anonymous: httpx.AsyncClient,
) -> None:
    assert 'href="/openapi.json"' in (await anonymous.get("/docs")).text
