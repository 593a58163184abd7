"""Edits saved in the file: what changes there, and that nothing else does."""

from __future__ import annotations

import difflib
import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.config import Amend, Config, Edit, Put, Remove, Switch, load, persist, preview
from streamwatch.config.document.edits import edited
from streamwatch.config.document.splicing import spliced
from streamwatch.config.loading import parse
from streamwatch.errors import ConfigError
from streamwatch.paths import shipped, starter

HEAD = "detector: {model: toybox}\ncameras: {porch: {url: bundled:street}}\n"
WATCHES = """\
# what to find
watches:
    # the neighbour's
    dog:   # brown
        prompt:  'a dog'   # or two
        # zones: [steps]

    bag: {prompt: "bag",leave:  5s}  # in one line
    box:
        prompt:
        - box
        - parcel
        dwell: 5s

# the end
log: {level: info}
"""


def persisted(folder: Path, text: str, *edits: Edit) -> str:
    file = folder / "config.yaml"
    file.write_bytes(text.encode())
    persist(file, edits)
    return file.read_bytes().decode()


def changed_lines(before: str, after: str) -> list[str]:
    """`-old` and `+new` lines, line breaks included."""
    difference = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line[0] + line[2:] for line in difference if line[0] in "+-"]


def watch(name: str, change: Any) -> Edit:
    return Edit("watches", name, change)


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        pytest.param(
            watch("cat", Put({"prompt": "a cat", "appear": {"hits": 2}})),
            ["+    cat:\n", "+        prompt: a cat\n", "+        appear: {hits: 2}\n"],
            id="another",
        ),
        pytest.param(
            watch("dog", Put({"prompt": "a dog", "dwell": "2s"})),
            ["+        dwell: 2s\n"],
            id="one key more",
        ),
        pytest.param(
            watch("dog", Put({"prompt": "a big dog"})),
            [
                "-        prompt:  'a dog'   # or two\n",
                "+        prompt:  a big dog   # or two\n",
            ],
            id="another value",
        ),
        pytest.param(
            watch("box", Put({"prompt": "crate"})),
            [
                "-        prompt:\n",
                "+        prompt: crate\n",
                "-        - box\n",
                "-        - parcel\n",
                "-        dwell: 5s\n",
            ],
            id="a list in lines, and one key less",
        ),
        pytest.param(
            watch("bag", Put({"prompt": "bag", "leave": "5s", "name": "1e3"})),
            [
                '-    bag: {prompt: "bag",leave:  5s}  # in one line\n',
                "+    bag: {prompt: \"bag\",leave:  5s, name: '1e3'}  # in one line\n",
            ],
            id="one key more in one line",
        ),
        pytest.param(
            watch("bag", Put({"prompt": "bag"})),
            [
                '-    bag: {prompt: "bag",leave:  5s}  # in one line\n',
                '+    bag: {prompt: "bag"}  # in one line\n',
            ],
            id="one key less in one line",
        ),
        pytest.param(
            watch("dog", Remove()),
            [
                "-    dog:   # brown\n",
                "-        prompt:  'a dog'   # or two\n",
                "-        # zones: [steps]\n",
            ],
            id="removed",
        ),
        pytest.param(
            watch("bag", Remove()),
            ['-    bag: {prompt: "bag",leave:  5s}  # in one line\n'],
            id="removed, of one line",
        ),
        pytest.param(watch("box", Switch(False)), ["+        enabled: false\n"], id="disabled"),
        pytest.param(watch("box", Switch(True)), [], id="enabled as it was"),
        pytest.param(
            Edit("cameras", "porch", Switch(False)),
            [
                "-cameras: {porch: {url: bundled:street}}\n",
                "+cameras: {porch: {url: bundled:street, enabled: false}}\n",
            ],
            id="a camera",
        ),
    ],
)
def test_only_the_lines_of_the_edit_change(tmp_path: Path, edit: Edit, lines: list[str]) -> None:
    before = HEAD + WATCHES
    assert changed_lines(before, persisted(tmp_path, before, edit)) == lines


CAMERAS = """\
detector: {model: toybox}
cameras:
  porch:
    url: rtsp://me:${DOOR}@10.0.0.2/live   # by the door
    zones:
      # where parcels lie
      steps: [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured
      path: [[0, 0], [1, 0], [1, 0.2]]
    fps: 4
  yard: {url: "bundled:street"}   # short
"""
STEPS = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]
PATH = [[0, 0], [1, 0], [1, 0.2]]
MOVED = [[0.2, 0.5], [0.4, 0.5], [0.4, 0.9]]


@pytest.mark.parametrize(
    ("camera", "values", "lines"),
    [
        pytest.param(
            "porch",
            {"zones": {"steps": MOVED, "path": PATH}},
            [
                "-      steps: [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured\n",
                "+      steps: [[0.2, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured\n",
            ],
            id="a corner moved",
        ),
        pytest.param(
            "porch",
            {"zones": {"steps": STEPS, "path": PATH, "gate": MOVED}},
            ["+      gate: [[0.2, 0.5], [0.4, 0.5], [0.4, 0.9]]\n"],
            id="a zone more",
        ),
        pytest.param(
            "porch",
            {"zones": {"path": PATH}},
            ["-      steps: [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured\n"],
            id="a zone less",
        ),
        pytest.param(
            "porch",
            {"zones": None, "crop": [0, 0.1, 1, 1]},
            [
                "-    zones:\n",
                "-      # where parcels lie\n",
                "-      steps: [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured\n",
                "-      path: [[0, 0], [1, 0], [1, 0.2]]\n",
                "+    crop: [0, 0.1, 1, 1]\n",
            ],
            id="no zones any more, and a crop",
        ),
        pytest.param(
            "porch",
            {"mask": [PATH], "ignore": None},
            ["+    mask: [[[0, 0], [1, 0], [1, 0.2]]]\n"],
            id="a mask",
        ),
        pytest.param(
            "yard",
            {"zones": {"gate": PATH}},
            [
                '-  yard: {url: "bundled:street"}   # short\n',
                '+  yard: {url: "bundled:street", zones: {gate: [[0, 0], [1, 0], [1, 0.2]]}}'
                "   # short\n",
            ],
            id="in one line",
        ),
    ],
)
def test_only_the_lines_of_what_was_drawn_change(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    camera: str,
    values: dict[str, Any],
    lines: list[str],
) -> None:
    monkeypatch.setenv("DOOR", "secret")
    after = persisted(tmp_path, CAMERAS, Edit("cameras", camera, Amend(values)))
    assert changed_lines(CAMERAS, after) == lines


def test_the_first_zones_get_a_line_each(tmp_path: Path) -> None:
    text = "detector: {model: toybox}\ncameras:\n  porch:\n    url: bundled:street\n"
    edit = Edit("cameras", "porch", Amend({"zones": {"steps": STEPS, "path": PATH}}))
    assert changed_lines(text, persisted(tmp_path, text, edit)) == [
        "+    zones:\n",
        "+      steps: [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]\n",
        "+      path: [[0, 0], [1, 0], [1, 0.2]]\n",
    ]


def test_what_is_drawn_may_take_no_secret_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR", "secret")
    with pytest.raises(ConfigError, match="a command can't take anything by"):
        persisted(tmp_path, CAMERAS, Edit("cameras", "porch", Amend({"name": "${DOOR}"})))


def test_a_preview_shows_the_lines_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR", "secret")
    file = tmp_path / "config.yaml"
    file.write_text(CAMERAS)
    zones = Amend({"zones": {"steps": MOVED, "path": PATH}})
    seen = preview(file, [Edit("cameras", "porch", zones)])
    (hunk,) = seen.hunks
    assert hunk.line == 7
    assert hunk.before == ("      steps: [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured",)
    assert hunk.after == ("      steps: [[0.2, 0.5], [0.4, 0.5], [0.4, 0.9]]   # measured",)
    assert file.read_text() == CAMERAS
    assert preview(file, []).of == seen.of
    file.write_text(CAMERAS + "# more\n")
    assert preview(file, []).of != seen.of


@pytest.mark.parametrize(
    "login",
    [
        "url: 'rtsp://me:hunter2@10.0.0.2/live'",
        'url: "rtsp://10.0.0.2/live", username: me, password: "hunter2, and }"',
        "url: 'rtsp://10.0.0.2/live', username: me, password: hunter2 and more",
        "url: 'http://10.0.0.2/live?secret=hunter2'",
    ],
)
def test_a_preview_shows_no_password_of_the_line(tmp_path: Path, login: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"detector: {{model: toybox}}\ncameras: {{porch: {{{login}}}}}\n")
    edit = Edit("cameras", "porch", Amend({"crop": [0, 0, 1, 0.5]}))
    (hunk,) = preview(file, [edit]).hunks
    shown = " ".join((*hunk.before, *hunk.after))
    assert "hunter2" not in shown
    assert "more" not in shown
    assert "crop: [0, 0, 1, 0.5]" in shown


def test_a_watch_can_be_disabled_and_enabled_again(tmp_path: Path) -> None:
    text = HEAD + "watches:\n  dog:\n    enabled: false   # until May\n    prompt: dog\n"
    on = persisted(tmp_path, text, watch("dog", Switch(True)))
    assert on == text.replace("false ", "true ")
    assert persisted(tmp_path, on, watch("dog", Switch(False))) == text


@pytest.mark.parametrize(
    ("watches", "after"),
    [
        ("", "watches:\n  dog:\n    prompt: dog\n"),
        ("watches:\n", "watches:\n  dog:\n    prompt: dog\n"),
        (
            "watches:   # none yet\n  # cat:\n  #   prompt: cat\n",
            "watches:   # none yet\n  dog:\n    prompt: dog\n  # cat:\n  #   prompt: cat\n",
        ),
        ("watches: ~ # none\n", "watches: # none\n  dog:\n    prompt: dog\n"),
        ("watches: {}\n", "watches: {dog: {prompt: dog}}\n"),
        ("watches: {a: {prompt: b},}\n", "watches: {a: {prompt: b}, dog: {prompt: dog},}\n"),
        ("watches:", "watches:\n  dog:\n    prompt: dog\n"),
    ],
)
def test_the_first_watch_is_added(tmp_path: Path, watches: str, after: str) -> None:
    edit = watch("dog", Put({"prompt": "dog"}, new=True))
    assert persisted(tmp_path, HEAD + watches, edit) == HEAD + after


def test_the_last_watch_is_removed(tmp_path: Path) -> None:
    text = HEAD + "watches:\n  # nothing else\n  dog:\n    prompt: dog\nlog: {}\n"
    gone = persisted(tmp_path, text, watch("dog", Remove()))
    assert gone == HEAD + "watches:\n  # nothing else\nlog: {}\n"


def test_a_file_of_json_stays_json(tmp_path: Path) -> None:
    text = '{"detector": {"model": "toybox"}, "cameras": {"a": {"url": "bundled:street"}},\n'
    text += ' "watches": {"dog": {"prompt": "dog"}}}'
    after = persisted(
        tmp_path,
        text,
        watch("dog", Put({"prompt": ["dog", "cat"], "snapshot": False})),
        watch("no", Put({"prompt": "Ä"})),
    )
    assert after == text.replace(
        '"watches": {"dog": {"prompt": "dog"}}',
        '"watches": {"dog": {"prompt": ["dog", "cat"], "snapshot": false}, "no": {"prompt": "Ä"}}',
    )


def test_windows_line_ends_and_a_byte_order_mark_stay(tmp_path: Path) -> None:
    before = "\ufeff" + (HEAD + WATCHES).replace("\n", "\r\n")
    after = persisted(tmp_path, before, watch("cat", Put({"prompt": "cat"})))
    assert changed_lines(before, after) == ["+    cat:\r\n", "+        prompt: cat\r\n"]
    assert after.startswith("\ufeff")


def test_an_alias_is_written_out_where_its_value_changes(tmp_path: Path) -> None:
    text = HEAD + "watches:\n  a: &a {prompt: x}\n  b: *a\n  c: {prompt: y, zones: [z]}\n"
    text = text.replace("bundled:street}", "bundled:street, zones: {z: [[0,0],[1,0],[1,1]]}}")
    after = persisted(tmp_path, text, watch("b", Switch(False)), watch("c", Switch(False)))
    assert after == text.replace("*a", "{prompt: x, enabled: false}").replace(
        "[z]}", "[z], enabled: false}"
    )


@pytest.mark.parametrize("change", [Switch(False), Remove(), Put({"prompt": "z"})])
def test_an_edit_of_an_anchored_value_is_refused(tmp_path: Path, change: Any) -> None:
    text = HEAD + "watches:\n  a: &a\n    prompt: &p x\n  b: *a\n  c: {prompt: *p}\n"
    with pytest.raises(ConfigError, match=r"config\.yaml: this change can't be written here"):
        persisted(tmp_path, text, watch("a", change))
    assert (tmp_path / "config.yaml").read_text() == text


MERGING = (
    HEAD
    + """\
x-calm: &calm {dwell: 5s, leave: 9s}
x-more: &more
  boat: {prompt: boat, dwell: 1s}
watches:
  <<: *more
  dog:
    <<: *calm
    prompt: dog
"""
)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (watch("dog", Switch(False)), ["+    enabled: false\n"]),
        (
            watch("dog", Put({"prompt": "dog", "dwell": "6s", "leave": "9s"})),
            ["+    dwell: 6s\n"],
        ),
        (
            watch("boat", Switch(False)),
            [
                "+  boat:\n",
                "+    prompt: boat\n",
                "+    dwell: 1s\n",
                "+    enabled: false\n",
            ],
        ),
        (watch("cat", Put({"prompt": "cat"})), ["+  cat:\n", "+    prompt: cat\n"]),
        (watch("dog", Remove()), ["-  dog:\n", "-    <<: *calm\n", "-    prompt: dog\n"]),
    ],
)
def test_an_edit_of_what_is_merged_is_written_beside_the_merge(
    tmp_path: Path, change: Edit, lines: list[str]
) -> None:
    assert changed_lines(MERGING, persisted(tmp_path, MERGING, change)) == lines


@pytest.mark.parametrize(
    "change",
    [watch("boat", Remove()), watch("dog", Put({"prompt": "dog", "dwell": "5s"}))],
    ids=["an entry", "a key"],
)
def test_what_is_merged_is_not_taken_out(tmp_path: Path, change: Edit) -> None:
    with pytest.raises(ConfigError) as caught:
        persisted(tmp_path, MERGING, change)
    assert [problem.message for problem in caught.value.problems] == [
        "this change can't be written here without changing something else, which an anchor (&) or"
        " a merge (<<) shares perhaps; change the file by hand"
    ]
    assert (tmp_path / "config.yaml").read_text() == MERGING


@pytest.mark.parametrize("change", [Switch(False), Remove(), Put({"prompt": "z"})])
def test_an_edit_of_what_is_merged_elsewhere_is_refused(tmp_path: Path, change: Any) -> None:
    text = HEAD + "watches:\n  a: &a\n    prompt: x\n  b:\n    <<: *a\n    dwell: 1s\n"
    with pytest.raises(ConfigError, match=r"config\.yaml: this change can't be written here"):
        persisted(tmp_path, text, watch("a", change))
    assert (tmp_path / "config.yaml").read_text() == text


def test_an_invalid_edit_leaves_the_file_unchanged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        persisted(tmp_path, HEAD + WATCHES, watch("dog", Put({"promt": "dog"})))
    assert [str(problem) for problem in caught.value.problems] == [
        "command: watches.dog.prompt: is missing; write what to find, as prompt: person",
        "command: watches.dog.promt: unknown key; did you mean 'prompt'?",
    ]
    assert (tmp_path / "config.yaml").read_text() == HEAD + WATCHES


# --- any edits ------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.sampled_from(
        [
            "off",
            "1e3",
            "0o17",
            "22:00",
            "- a",
            "a: b",
            "# no",
            "*x",
            "null",
            "{}",
            "it's",
            '"',
            "$$",
        ]
    ),
    st.text(
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20
    ).filter(lambda text: bool(text.strip()) and "${" not in text),
)
WATCH = st.fixed_dictionaries(
    {"prompt": TEXTS | st.lists(TEXTS, min_size=1, max_size=3, unique_by=str.casefold)},
    optional={
        "name": TEXTS,
        "enabled": st.booleans(),
        "confidence": st.floats(0.01, 1) | st.just("auto"),
        "min_area": st.floats(0, 1e-5) | st.just(0),
        "leave": st.sampled_from(["500ms", "1m30s"]),
        "appear": st.just({"hits": 2, "within": "1m"}),
    },
)
CHANGE = st.one_of(
    st.builds(Put, WATCH),
    st.builds(Put, WATCH, st.just(True)),
    st.just(Remove()),
    st.builds(Switch, st.booleans()),
    st.builds(Amend, WATCH),
    st.builds(Amend, st.dictionaries(st.sampled_from(["name", "leave", "appear"]), st.none())),
)
EDIT = st.builds(
    Edit,
    st.just("watches"),
    st.sampled_from(["person", "parcel", "red-car", "zoo", "boat", "off", "1"]),
    CHANGE,
)
OTHERS_STYLE = HEAD + WATCHES.replace("dog:", "person:").replace("bag:", "parcel:")


@settings(max_examples=100)
@given(
    st.sampled_from([starter(), shipped("config.yaml").read_text(), OTHERS_STYLE]),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(EDIT, min_size=1, max_size=4),
)
def test_any_edits_give_the_wanted_content_or_leave_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    newline: str,
    edits: list[Edit],
) -> None:
    file = tmp_path_factory.mktemp("any") / "config.yaml"
    before = text.replace("\n", newline).encode()
    file.write_bytes(before)
    wanted = edited(parse(file), edits).content
    config, fault = loaded(file, edits)
    if config is None:
        with pytest.raises(ConfigError) as caught:
            persist(file, edits)
        assert str(caught.value) == fault
        assert file.read_bytes() == before
        return
    persist(file, edits)
    assert load(file) == config
    assert isinstance(wanted, dict)
    written = parse(file).content
    assert isinstance(written, dict)
    assert (written["watches"] or {}) == wanted["watches"]
    names = {edit.name for edit in edits}
    after = file.read_bytes().decode()
    for line in changed_lines(before.decode(), after):
        assert line.endswith(newline)
    assert untouched(before.decode(), names) == untouched(after, names)


def loaded(file: Path, edits: list[Edit]) -> tuple[Config | None, str]:
    try:
        return load(file, None, edits), ""
    except ConfigError as error:
        return None, str(error)


def untouched(text: str, names: set[str]) -> list[str]:
    """All lines but those of the watches of these names."""
    kept: list[str] = []
    section, inside, column = "", False, 0
    for line in text.splitlines(keepends=True):
        bare = line.lstrip()
        indent = len(line) - len(bare)
        if indent == 0 and bare and not bare.startswith("#"):
            section, inside = bare.partition(":")[0], False
        elif section == "watches" and bare.strip() and (not inside or indent <= column):
            name = bare.partition(":")[0].strip("'\"")
            inside = name in names and not bare.startswith("#")
            column = indent
        if not inside or not bare.strip():
            kept.append(line)
    return kept


# --- the file itself ------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD)
    return path


DOG = watch("dog", Put({"prompt": "dog"}))


def others(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "config.yaml"]


def test_the_file_is_replaced_with_its_mode_and_owner(file: Path) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    before = file.stat()
    persist(file, [DOG])
    after = file.stat()
    assert "dog" in load(file).watches
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert after.st_mtime_ns > before.st_mtime_ns
    assert others(file.parent) == []


@pytest.mark.parametrize("owner_differs", [False, True])
def test_without_chown_only_own_files_are_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch, owner_differs: bool
) -> None:
    """As in the sandbox of the systemd unit, which refuses chown."""

    def refused(*_: object) -> None:
        raise PermissionError

    if owner_differs:
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(file, 1234, 2345)
    inode = file.stat().st_ino
    monkeypatch.setattr(os, "chown", refused)
    persist(file, [DOG])
    assert (file.stat().st_ino == inode) == owner_differs
    assert "dog" in load(file).watches
    assert others(file.parent) == []


def test_a_symlink_stays_a_symlink(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link" / "config.yaml"
    link.parent.mkdir()
    link.symlink_to("../config.yaml")
    persist(link, [DOG])
    assert link.is_symlink()
    assert "dog" in load(file).watches


def test_hard_links_are_kept(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.hardlink_to(file)
    persist(file, [DOG])
    assert other.read_text() == file.read_text()
    assert "dog" in load(other).watches


def test_a_file_that_can_not_be_replaced_is_written_in_place(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "it is mounted")

    inode = file.stat().st_ino
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", busy)
        persist(file, [DOG])
    assert file.stat().st_ino == inode
    assert "dog" in load(file).watches
    persist(file, [watch("dog", Remove())])
    assert others(file.parent) == []


def test_a_read_only_file_is_not_written(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(ConfigError) as caught:
        persist(file, [DOG])
    assert str(caught.value) == f"{file}: this file may not be written; the change is not saved"
    assert file.read_text() == HEAD


@contextmanager
def no_room_for(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_full_disk_leaves_the_file_unchanged(file: Path, tmp_path: Path, in_place: bool) -> None:
    if in_place:
        (tmp_path / "config.yaml.bak").hardlink_to(file)
    with no_room_for(len(HEAD) + 5), pytest.raises(ConfigError) as caught:
        persist(file, [DOG])
    assert str(caught.value) == (
        f"{file}: this file can't be written (file too large); the change is not saved"
    )
    assert file.read_text() == HEAD


def test_a_file_changed_meanwhile_is_not_overwritten(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(text: str, edits: Any) -> str:
        file.write_text(HEAD + "log: {level: debug}\n")
        return spliced(text, edits)

    monkeypatch.setattr("streamwatch.config.saving.spliced", slow)
    with pytest.raises(ConfigError, match="changed at the same moment"):
        persist(file, [DOG])
    assert file.read_text() == HEAD + "log: {level: debug}\n"
