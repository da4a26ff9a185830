"""Reading time, level and aim out of free text, in English and Spanish."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.manage_rules import is_management
from agents.requests import Wish, read_wish, usable

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Learn Rust in six weeks", Wish("Learn Rust", date(2027, 1, 3))),
        ("Learn Rust within 10 days, 7 hours a week", Wish("Learn Rust", date(2026, 12, 2), 7)),
        ("Aprender SQL en dos meses", Wish("Aprender SQL", date(2027, 1, 21))),
        ("Aprender SQL desde cero, 2,5 horas por semana", Wish("Aprender SQL desde cero", None, 2.5, "beginner")),
        ("Pass the exam by 2026-12-24", Wish("Pass the exam", date(2026, 12, 24))),
        ("Advanced C++", Wish("Advanced C++", None, None, "advanced")),
        ("Read 3 books", Wish("Read 3 books")),
        ("Work 900 hours a week", Wish("Work")),
        ("by 2026-99-99 learn", Wish("learn")),
    ],
)
def test_time_and_level_are_read(text: str, wish: Wish) -> None:
    assert read_wish(text, TODAY) == wish


@pytest.mark.parametrize("text", ["Learn SQL", "C++ please", "学习 Python", "git", "aprender a cocinar", "Лиса"])
def test_an_aim_is_recognised(text: str) -> None:
    assert usable(text)


@pytest.mark.parametrize("text", ["", " ", "?!", "hola", "hi", "asdf", "bcdfg", "12345", "\u200b"])
def test_no_aim_is_recognised(text: str) -> None:
    assert not usable(text)


COMMANDS = """list my goals
lista mis metas
complete task Parser
termina la tarea Leer: Traits
delete goal X
borra la meta X
progress of Rust to 40 %
progreso de Rust a 40"""


@pytest.mark.parametrize("text", COMMANDS.splitlines())
def test_commands_are_recognised(text: str) -> None:
    assert is_management(text)


@pytest.mark.parametrize(
    "text", ["Learn to list files in Python", "show me how to build a REST API", "finish my degree in law"]
)
def test_aims_that_begin_like_commands_are_aims(text: str) -> None:
    assert not is_management(text)


@given(st.text(max_size=5000))
def test_no_text_breaks_the_reading(text: str) -> None:
    wish = read_wish(text, TODAY)
    assert len(wish.objective) <= 2000
    assert wish.deadline is None or wish.deadline >= TODAY
