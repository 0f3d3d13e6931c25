"""Label selectors, word for word as Kubernetes reads them."""

from __future__ import annotations

import pytest

from volant.model.selectors import MAX_TEXT, parse

LABELS = {"app": "web", "tier": "front", "weight": "10", "empty": "", "volant.dev/pool": "a"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "app=web",
        "app==web",
        " app\t= web\n",
        "app!=db",
        "nothing!=db",
        "app in (web)",
        "app in (db, web)",
        "app in(db,web)",
        "app notin (db)",
        "nothing notin (db)",
        "app",
        "!nothing",
        "! nothing",
        "empty=",
        "empty in (,x)",
        "empty in (x,)",
        "empty",
        "weight>9",
        "weight<11",
        "weight>-1",
        "app=web,tier!=back,!gpu,weight in (1,10)",
        "volant.dev/pool=a",
        "app!=",
        "app notin (,)",
    ],
)
def test_it_matches(text: str) -> None:
    assert parse(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "app=db",
        "app!=web",
        "nothing=",
        "nothing=web",
        "nothing in (web)",
        "app notin (db,web)",
        "nothing",
        "!app",
        "!empty",
        "empty!=",
        "weight>10",
        "weight<10",
        "app>1",
        "nothing<1",
        "empty<1",
        "app=web,tier=back",
        "App=web",
        "app=WEB",
    ],
)
def test_it_does_not_match(text: str) -> None:
    assert not parse(text).matches(LABELS)


@pytest.mark.parametrize("words", ["in", "notin"])
def test_the_words_of_the_grammar_are_keys_and_values_too(words: str) -> None:
    assert parse(f"{words}={words}").matches({words: words})
    assert parse(f"{words} in ({words})").matches({words: words})
    assert parse(words).matches({words: ""})


def test_the_same_said_twice_is_the_same() -> None:
    assert parse("a in (x,y),b") == parse(" a in ( y , x , y ) , b ")
    assert hash(parse("a==x")) == hash(parse("a=x"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",", "found ',' where a label key should be"),
        ("a,", "found the end of the selector where a label key should be"),
        ("a,,b", "found ',' where a label key should be"),
        ("=b", "found '=' where a label key should be"),
        ("!", "found the end of the selector where a label key should be"),
        ("!a=b", "found '=' where ',' should be"),
        ("a b", "found 'b' where one of"),
        ("a!b", "found '!' where one of"),
        ("a=b c", "found 'c' where ',' should be"),
        ("a=b=c", "found '=' where ',' should be"),
        ("a=(b)", "found '(' where a value should be"),
        ("a in b", "found 'b' where '(' should be"),
        ("a in (b", "found the end of the selector where ')' should be"),
        ("a in (b c)", "found 'c' where ')' should be"),
        ("a in ()", "cannot choose from no values"),
        ("a in", "found the end of the selector where '(' should be"),
        ("a>b", "takes a whole number"),
        ("a<", "takes a whole number"),
        ("a>1_000", "takes a whole number"),
        ("-a=b", "as a label key"),
        ("a/b/c", "as a label key"),
        (f"{'a' * 64}=b", "as a label key"),
        (f"a={'b' * 64}", "as a label value"),
        ("a=ü", "as a label value"),
        ("a=\x00", "as a label value"),
        ("a\u00a0=b", "as a label key"),
        ("a" * (MAX_TEXT + 1), "more than 4096 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^cannot ") as refused:
        parse(text)
    assert said in str(refused.value)
