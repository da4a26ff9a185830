"""The house itself: our package names are ours, the pins are whole, nothing private is tracked."""

import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from api.settings import Settings, from_file, given

REPOSITORY = Path(__file__).parent.parent
OURS = ("agents", "tools", "graphs", "store", "api", "migrations", "evals")

# Built from parts so that this file does not match itself.
PRIVATE = re.compile(
    "|".join(
        ("py" + r"pi\.org", "python" + "hosted", r"registry\.npm" + "js", "/wo" + "rk/", "/ro" + "ot/", "/op" + "t/py")
    )
)


def tracked() -> list[str]:
    listing = subprocess.run(
        ["/usr/bin/env", "git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout, so nothing is tracked")
    return listing.stdout.splitlines()


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_an_installed_copy_has_every_file_that_is_no_code() -> None:
    # The image installs the package; a checkout would not show that a page or a rule file was left behind.
    packaged = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    brought = {file for room, globs in packaged.items() for glob in globs for file in (REPOSITORY / room).glob(glob)}
    needed = {REPOSITORY / name for name in tracked() if name.split("/")[0] in OURS and not name.endswith(".py")}
    assert needed <= brought


@pytest.mark.parametrize("name", OURS)
def test_no_other_distribution_owns_our_package_names(name: str) -> None:
    # `langgraph dev` appends the working directory to sys.path, so an installed namesake would win.
    assert set(packages_distributions().get(name, [])) <= {"ai-goals-tracker"}
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(REPOSITORY)


def test_every_dependency_is_pinned_and_the_pin_fits() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    known = pins()
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["traces"], *extras["dev"]]:
        wanted = Requirement(text)
        if wanted.name == project["name"]:
            continue  # an extra of our own that another one includes
        assert normal(wanted.name) in known, f"{wanted.name} has no pin in constraints.txt"
        assert wanted.specifier.contains(known[normal(wanted.name)]), f"the pin of {wanted.name} contradicts {text}"


@pytest.mark.parametrize(
    ("package", "floor"),
    [
        ("langgraph", "1.0.10"),
        ("langgraph-checkpoint", "4.1.1"),
        ("langchain-core", "1.2.5"),
        ("starlette", "1.0.1"),
    ],
)
def test_pins_stand_above_the_published_advisories(package: str, floor: str) -> None:
    assert Version(pins()[package]) >= Version(floor)


def test_pins_name_no_place_to_download_from() -> None:
    assert not re.search(r"https?:|@ |--", (REPOSITORY / "constraints.txt").read_text())


def test_nothing_tracked_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = [
        name
        for name in tracked()
        if (path := REPOSITORY / name).is_file() and PRIVATE.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_every_setting_is_explained_in_the_example() -> None:
    assert {name.upper() for name in Settings.model_fields} <= explained()


def test_the_example_explains_nothing_that_nobody_reads() -> None:
    others = explained() - {name.upper() for name in Settings.model_fields}
    readers = [REPOSITORY / name for name in tracked() if name.startswith(("deploy/", "graphs/", "api/cli/"))]
    texts = "".join(path.read_text(encoding="utf-8", errors="replace") for path in readers if path.is_file())
    assert {name for name in others if name not in texts} == set()


def explained() -> set[str]:
    example = (REPOSITORY / ".env.example").read_text()
    return set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))


def test_the_example_can_be_copied_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert from_file(REPOSITORY / ".env.example").model_dump() == given().model_dump()


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example")
    assert Settings().cors_origins == ("https://a.example", "https://b.example")


def test_a_wrong_setting_never_echoes_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "hunter2-is-not-a-port")
    with pytest.raises(ValueError, match="port") as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_the_index_of_the_documentation_names_every_page() -> None:
    docs = REPOSITORY / "docs"
    index = (docs / "README.md").read_text()
    pages = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md") if page.name != "README.md"]
    assert [page for page in pages if f"({page})" not in index] == []
