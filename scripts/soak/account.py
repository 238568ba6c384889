"""The controller's own account of all saves, and of what may be restored."""

from dataclasses import dataclass

from leftovers import Broken


@dataclass(eq=False)
class Save:
    """One try of all ranks to save a step. `number` tells its content; no two have the same."""

    number: int
    step: int
    parent: "Save | None"  # what its run stood on
    damaged: bool = False  # the controller did that
    thin: bool = False  # retention dropped its optimizer's state
    raced: bool = False  # another run saved at the same time, for the same line
    # What was the newest when this save came though it was never reported durable: whoever made it
    # was killed, perhaps before it had marked what it leaves behind.
    instead_of: "Save | None" = None

    def __str__(self):
        return f"save {self.number} (step {self.step})"


class Account:
    """After a durable save, restoring gives that save or a later one of the same line of descent.

    The first of `allowed` is the last save that was reported durable or given back by a restore.
    The others are allowed too: tries since then, of which nobody knows how far they came, and
    damaged saves whose bits may be right all the same.
    """

    def __init__(self):
        self.saves = {}  # by number
        self.allowed = []
        self.history = []  # what was done, in lines
        self._reserved = 1

    @property
    def floor(self):
        return self.allowed[0] if self.allowed else None

    def attempt(self, step, parent, number=None):
        """`number` where it was reserved before."""
        save = Save(number or self.reserve(1), step, parent)
        self.saves[save.number] = save
        self.allowed.append(save)
        return save

    def attempt_below(self, step):
        """A save of a lower step than the floor's that joins its line, which still ends there."""
        after = next(save for save in reversed(self.line()) if save.step > step)
        after.parent = save = Save(self.reserve(1), step, after.parent)
        self.saves[save.number] = save
        return save

    def tell(self, line):
        """Adds it to the history, with the save that the line now ends in."""
        self.history.append(f"{line}; the newest is {self.floor}")

    def reserve(self, count):
        """The first of so many numbers for saves."""
        self._reserved += count
        return self._reserved - count

    def refused(self, save):
        """The store said that it did not take it: nothing of it may come."""
        self.allowed.remove(save)

    def half_replaced(self, step):
        """Of several ranks only some may have come through to replace `step`: then it is gone."""
        if self.floor and self.floor.step == step:
            self.allowed += self.line()[1:]

    def reported(self, *runs):
        """Of each run its saves in order and the last one that was reported durable, or None.

        Of runs at the same time nobody knows whose save was last.
        """
        for _, durable in runs:
            if durable:
                durable.instead_of = None
        if any(durable for _, durable in runs):
            since = (saves[saves.index(last) if last else 0 :] for saves, last in runs)
            self.allowed = [save for saves in since for save in saves]

    def restored(self, number, quiet=True):
        """What a restore gave. `quiet`: nobody goes on saving."""
        save = self.saves.get(number)
        if save not in self.allowed:
            wanted = " or ".join(map(str, self.allowed))
            raise Broken(f"{save} came back instead of {wanted}; line: {self.told_line()}")
        if save is not self.floor and not save.damaged:
            save.instead_of = self.floor
        place = self.allowed.index(save)
        # Of two runs at once the agent may still save the one's, or have it in memory.
        raced = [other for other in self.allowed[:place] if other.raced]
        self.allowed = [save] if quiet else [save, *raced, *self.allowed[place + 1 :]]
        return save

    def line(self, newest=None):
        """From the floor, or another save, back to where its line began."""
        line, save = [], newest or self.floor
        while save is not None:
            line.append(save)
            save = save.parent
        return line

    def told_line(self):
        told = (f"{save}{' damaged' if save.damaged else ''}" for save in self.line()[:8])
        return " < ".join(told)

    def fallback(self, held, spoilt=(), newest=None):
        """The newest save of the line that restores, were `spoilt` broken; None when there is none.

        `held` are the saves that the store holds, by step. The line is that of the floor, or of
        `newest`.
        """
        for save in self.line(newest):
            whole = held.get(save.step) is save and not save.thin
            if whole and not save.damaged and save not in spoilt:
                return save
        return None

    def damage(self, spoilt, held):
        """`spoilt` were broken; there must be a fallback. They may come where their bits can."""
        fallback = self.fallback(held, spoilt)
        for save in spoilt:
            save.damaged = True
        line = self.line()
        passed_over = line[: line.index(fallback)]
        unmarked = {save.instead_of for save in passed_over} - {None}
        others = {self.fallback(held, spoilt, newest) for newest in unmarked} - {None}
        raced = [save for save in held.values() if save.raced and save not in line]
        self.allowed = [fallback, *reversed(passed_over), *raced, *others, *self.allowed[1:]]
