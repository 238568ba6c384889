"""What the ranks of one run told, brought into the account."""

from leftovers import Broken


class Told:
    """Adds the saves that the run has begun to the account, in its constructor."""

    def __init__(self, plan, lines, killed, account):
        """`lines`: a list for each rank. `killed`: some rank was; others may then fail."""
        self._account = account
        self._lines = [[line.split() for line in told] for told in lines]
        for line in (line for told in lines for line in told):
            if line.startswith("broken") or (line.startswith("failed") and not killed):
                raise Broken(line)
        if not killed and not all("closed" in told for told in lines):
            raise Broken(f"a trainer did not end well: {lines}")
        self.refusals = sum(words[0] == "refused" for words in self._all())
        restored = {tuple(words[1:]) for words in self._all() if words[0] == "restored"}
        self.sources = [f"restored from {source}" for _, _, source in restored]
        self._restored = sorted({int(number) for _, number, _ in restored})
        if len(self._restored) > 1:
            raise Broken(f"ranks restored different saves: {self._restored}")
        self._is_newest = plan.step is None and not plan.afresh
        self._before = [*account.allowed]
        self.saves = self._add_saves()
        everywhere = set.intersection(*map(_durable, self._lines))
        self.durable = account.saves[max(everywhere)] if everywhere else None

    def __str__(self):
        return f"run after {self._restored}: {[*map(str, self.saves)]}, durable: {self.durable}"

    def _all(self):
        return (words for told in self._lines for words in told)

    def _add_saves(self):
        begun = {tuple(words[1:]) for words in self._all() if words[0] == "saving"}
        saves = []
        parent = self._account.saves.get(self._restored[0]) if self._restored else None
        for number, step, way in sorted(begun, key=lambda words: int(words[0])):
            if len(self._lines) > 1:
                self._account.half_replaced(int(step))
            if saves:
                parent = saves[-1].parent if way == "again" else saves[-1]
            saves.append(self._account.attempt(int(step), parent, int(number)))
        return saves

    def take_restored(self, alone):
        """Whether the newest save was restored; `alone`: no other run saved at the same time."""
        for save in self.saves:
            save.raced = not alone
        for number in self._restored if self._is_newest else []:
            save = self._account.saves.get(number)
            allowed = self._before if alone else self._account.allowed
            if save not in allowed and (save or self._before):
                wanted = " or ".join(map(str, allowed))
                raise Broken(f"a trainer restored {save} instead of {wanted}")
            if alone and save:
                self._account.restored(number, quiet=False)


def _durable(lines):
    """The numbers of the saves that one rank was told to be durable."""
    return {int(words[1]) for words in lines if words[0] == "durable"}
