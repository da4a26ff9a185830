"""Bodies: whatever arrives, the answer is a 4xx that says what to do, and nothing is written."""

import math
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.bodies import MAX_INTEGER, decode
from api.errors import Problem

JSON_HEADERS = {"Content-Type": "application/json"}


def nested(depth: int) -> bytes:
    """A goal whose details are so many objects deep."""
    return b'{"title":"x","details":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


HOSTILE = {
    "NaN": b'{"title":"x","details":{"a":NaN}}',
    "infinity": b'{"title":"x","details":{"a":-Infinity}}',
    "overflow": b'{"title":"x","details":{"a":1e400}}',
    "huge integer": b'{"title":"x","details":{"a":' + b"9" * 400 + b"}}",
    "integer of 5000 digits": b'{"title":"x","details":{"a":' + b"9" * 5000 + b"}}",
    "integer beyond 2^53": b'{"title":"x","details":{"a":9007199254740993}}',
    "lone surrogate": b'{"title":"\\ud800"}',
    "lone surrogate in a key": b'{"title":"x","details":{"\\udfff":1}}',
    "NUL": b'{"title":"a\\u0000b"}',
    "NUL in a key": b'{"title":"x","details":{"\\u0000":1}}',
    "900 levels": nested(900),
    "100000 levels": b"[" * 100_000,
    "65 levels": nested(64),
    "repeated key": b'{"title":"x","title":"y"}',
    "repeated key inside": b'{"title":"x","details":{"a":1,"a":2}}',
    "not UTF-8": b'{"title":"\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"title":"x"}',
    "UTF-16": '{"title":"x"}'.encode("utf-16"),
    "trailing comma": b'{"title":"x",}',
    "two documents": b'{"title":"x"}{"title":"y"}',
    "comment": b'{"title":"x"/* hi */}',
    "nothing but space": b"   ",
    "half a document": b'{"title":',
}

MISFITS: dict[str, object] = {
    "an array": [],
    "a number": 1,
    "a text": "title",
    "null": None,
    "no title": {},
    "empty title": {"title": ""},
    "blank title": {"title": "  \n "},
    "title too long": {"title": "x" * 301},
    "title is a number": {"title": 1},
    "unknown member": {"title": "x", "colour": "red"},
    "owner": {"title": "x", "user_id": "bob"},
    "status": {"title": "x", "status": "completed"},
    "unknown priority": {"title": "x", "priority": "urgent"},
    "boolean priority": {"title": "x", "priority": True},
    "time without zone": {"title": "x", "due_at": "2030-01-01T00:00:00"},
    "time as number": {"title": "x", "due_at": 1_700_000_000},
    "time as digits": {"title": "x", "due_at": "1700000000"},
    "time before time": {"title": "x", "due_at": "0001-01-01T00:00:00+14:00"},
    "time after time": {"title": "x", "due_at": "9999-12-31T23:59:59-14:00"},
    "details as list": {"title": "x", "details": []},
    "too many details": {"title": "x", "details": {str(number): 1 for number in range(201)}},
    "course id with control": {"title": "x", "course_id": "a\nb"},
}


def says_what_to_do(answer: httpx.Response) -> dict[str, Any]:
    """Check that an answer is a well-formed problem, and return it."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert isinstance(problem["detail"], str)
    assert len(problem["detail"]) > 10
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_json_is_refused(ada: httpx.AsyncClient, kind: str) -> None:
    answer = await ada.post("/goals", content=HOSTILE[kind], headers=JSON_HEADERS)
    assert answer.status_code in {400, 422}, answer.text
    says_what_to_do(answer)
    assert (await ada.get("/goals")).json()["total"] == 0


@pytest.mark.parametrize("kind", MISFITS)
async def test_json_that_does_not_fit_names_the_culprit(ada: httpx.AsyncClient, kind: str) -> None:
    answer = await ada.post("/goals", content=orjson.dumps(MISFITS[kind]), headers=JSON_HEADERS)
    assert answer.status_code == 422, answer.text
    assert says_what_to_do(answer)["errors"][0]["pointer"].count("/") <= 2
    assert (await ada.get("/goals")).json()["total"] == 0


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]
)
async def test_other_content_types_are_refused(ada: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await ada.post("/goals", content=b'{"title":"x"}', headers=headers)
    assert answer.status_code == 415
    assert "application/json" in says_what_to_do(answer)["detail"]


async def test_a_vendor_json_type_and_a_charset_are_fine(ada: httpx.AsyncClient) -> None:
    for content_type in ("application/json; charset=utf-8", "application/vnd.goals+json"):
        answer = await ada.post("/goals", content=b'{"title":"x"}', headers={"Content-Type": content_type})
        assert answer.status_code == 201


async def test_the_deepest_allowed_body_is_stored(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/goals", content=nested(50), headers=JSON_HEADERS)
    assert answer.status_code == 201
    assert (await ada.get(answer.headers["location"])).json()["details"] == answer.json()["details"]


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "C:\\x", "a/../../x", "a\nb", "x" * 513, "", "..", "a/\u202eb"], ids=repr
)
async def test_a_file_path_stays_inside(ada: httpx.AsyncClient, path: str) -> None:
    goal = (await ada.post("/goals", json={"title": "x"})).json()
    task = (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "x"})).json()
    body = {"task_id": task["id"], "file_path": path, "content": "x"}
    says_what_to_do(answer := await ada.post("/code-snapshots", json=body))
    assert answer.status_code == 422


async def test_code_may_have_256_kib_and_no_more(ada: httpx.AsyncClient) -> None:
    goal = (await ada.post("/goals", json={"title": "x"})).json()
    task = (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "x"})).json()
    body = {"task_id": task["id"], "file_path": "a.py", "content": "é" * (128 * 1024)}
    assert (await ada.post("/code-snapshots", json=body)).status_code == 201
    for content in ("é" * (128 * 1024 + 1), "x" * (256 * 1024 + 1)):
        answer = await ada.post("/code-snapshots", json={**body, "content": content})
        assert answer.status_code == 422
        says_what_to_do(answer)


async def test_tasks_cannot_wait_for_each_other_in_a_circle(ada: httpx.AsyncClient) -> None:
    goal = (await ada.post("/goals", json={"title": "x"})).json()
    first = (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "1"})).json()
    second = (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "2", "depends_on": [first["id"]]})).json()
    answer = await ada.put(f"/tasks/{first['id']}", json={"depends_on": [second["id"]]})
    assert answer.status_code == 422
    says_what_to_do(answer)


@pytest.mark.parametrize(
    "path", ["/goals/x", "/goals/%00", "/users/%00", "/users/" + "x" * 300, "/nowhere", "/courses/%F0%28"]
)
async def test_odd_paths_are_4xx(ada: httpx.AsyncClient, path: str) -> None:
    answer = await ada.get(path)
    assert answer.status_code in {404, 422}
    says_what_to_do(answer)


async def test_a_wrong_method_says_which_are_right(ada: httpx.AsyncClient) -> None:
    answer = await ada.delete("/goals")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]
    says_what_to_do(answer)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_decoding_gives_back_what_was_encoded(value: object) -> None:
    assert decode(orjson.dumps(value)) == value


@given(st.binary(max_size=200))
def test_decoding_anything_gives_a_value_or_a_problem(raw: bytes) -> None:
    with suppress(Problem):
        assert orjson.dumps(decode(raw)) is not None


@given(st.floats())
def test_only_finite_numbers_pass(number: float) -> None:
    raw = repr(number).replace("inf", "Infinity").replace("nan", "NaN").encode()
    if math.isfinite(number):
        assert decode(raw) == number
    else:
        with pytest.raises(Problem):
            decode(raw)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.dictionaries(st.sampled_from(["title", "description", "type", "details", "due_at", "x"]), json_values))
async def test_any_json_object_is_stored_or_refused_with_a_reason(ada: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await ada.post("/goals", content=orjson.dumps(body), headers=JSON_HEADERS)
    assert answer.status_code in {201, 400, 422}, answer.text
    if answer.is_success:
        read = (await ada.get(answer.headers["location"])).json()
        assert read["title"] == body["title"]
        assert read["details"] == body.get("details", {})
    else:
        says_what_to_do(answer)
