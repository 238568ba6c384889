"""Tables of measurements, and the places between markers where pages of docs/ keep them."""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replace(page: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name} -->", "<!-- end -->"
    head, rest = page.split(begin, 1)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
