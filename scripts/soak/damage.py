"""Damages one file of a store as disks and people do."""

import os
import shutil

HEADER, FOOTER = 64, 64  # bytes; docs/format.md
WAYS = ("payload", "index", "footer", "truncated", "deleted")


def damage_something(store, account, held, random):
    """Says what was done; None, and nothing was, where the line would be lost by it.

    `held` are the saves that the store holds, by step.
    """
    path, way = _choose_file(store, account, held, random), random.choice(WAYS)
    # Hard links to one file are all one file, but for their names.
    same = [other for other in store.glob("step-*/rank-*") if path.samefile(other)]
    steps = {_step_of(other.parent) for other in ([path] if way == "deleted" else same)}
    spoilt = {held[step] for step in steps if step in held}
    if account.fallback(held, spoilt) is None:
        return None
    account.damage(spoilt, held)
    _damage(path, way, random)
    return f"{way} of {path.parent.name}/{path.name}"


def remove_damaged(store, held):
    """By hand, as people do. `held` are the saves that the store holds, by step."""
    for folder in store.glob("step-*"):
        save = held.get(_step_of(folder))
        if save is None or save.damaged:
            shutil.rmtree(folder)


def _step_of(folder):
    return int(folder.name.removeprefix("step-"))


def _choose_file(store, account, held, random):
    """Of the newest save as often as of all others together; rank files and links to bases."""
    step = account.floor.step
    if random.random() < 0.5:
        step = random.choice([*held, step])
    return random.choice(sorted((store / f"step-{step:08}").glob("rank-*")))


def _damage(path, way, random):
    content = path.read_bytes()
    if way == "deleted":
        path.unlink()
    elif way == "truncated":
        os.truncate(path, random.randrange(len(content)))
    else:
        place = random.choice(_places(content, way))
        with path.open("r+b") as file:
            file.seek(place)
            file.write(bytes([content[place] ^ 1 << random.randrange(8)]))


def _places(content, way):
    footer = len(content) - FOOTER
    index = footer - int.from_bytes(content[max(footer, 0) :][:8], "little")
    if not HEADER <= index <= footer:  # damaged before
        return range(len(content))
    places = {
        "payload": range(HEADER, index),
        "index": range(index, footer),
        "footer": range(footer, len(content)),
    }
    # A file that leans on its base in everything has no payload.
    return places[way] or places["index"]
