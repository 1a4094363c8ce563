"""The search syntax, as a table of what is typed and what it means."""

import pytest
from glasshead.errors import UserError
from glasshead.store.search_syntax import Bounds, Query, Term, parse

DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", Query()),
        ("  almost   yes ", Query(terms=(Term("almost"), Term("yes")))),
        ('"almost yes"', Query(terms=(Term("almost yes"),))),
        ('say "almost yes', Query(terms=(Term("say"), Term("almost yes")))),
        ("yes -no", Query(terms=(Term("yes"), Term("no", exclude=True)))),
        ('yes -"oh no"', Query(terms=(Term("yes"), Term("oh no", exclude=True)))),
        ("alm*", Query(terms=(Term("alm", prefix=True),))),
        ("東京 タワー", Query(terms=(Term("東京"), Term("タワー")))),
        ("yes ?? -- *", Query(terms=(Term("yes"),))),
        ("http://example.org", Query(terms=(Term("http://example.org"),))),
        ("user:ann user:@bo", Query(users=("ann", "bo"))),
        ('user:"Ann Lee" hi', Query(users=("Ann Lee",), terms=(Term("hi"),))),
        ("channel:12 server:34 session:5", Query(channels=(12,), servers=(34,), sessions=(5,))),
        ("channel:<#12>", Query(channels=(12,))),
        ("USER:ann", Query(users=("ann",))),
        ("model:smollm2", Query(models=("smollm2",))),
        ("status:error status:interrupted", Query(statuses=("error", "interrupted"))),
        ("tag:funny", Query(tags=("funny",))),
        ("rating:up", Query(thumbs=(1,))),
        ("rating:4", Query(ratings=(Bounds(4, 4),))),
        ("rating:>=4 rating:down", Query(ratings=(Bounds(low=4),), thumbs=(-1,))),
        ("perplexity:>20", Query(perplexities=(Bounds(low=20, above=True),))),
        ("perplexity:2..2.5", Query(perplexities=(Bounds(2, 2.5),))),
        ("tokens:<500", Query(tokens=(Bounds(high=500, below=True),))),
        ("after:1970-01-02", Query(after_us=DAY)),
        ("before:1970-01-02T12:00+12:00", Query(before_us=DAY)),
        ("after:7d", Query(after_us=93 * DAY)),
        ("after:7d after:9d", Query(after_us=91 * DAY)),
        ("before:7d before:9d", Query(before_us=93 * DAY)),
    ],
)
def test_syntax(typed: str, meant: Query):
    assert parse(typed, now=100 * DAY) == meant


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("chanel:12", "did you mean channel:"),
        ("perplexity:>1 " * 501, "is given 501 times"),
        ("channel:general", "takes a number"),
        ("status:bad", "is one of pending"),
        ("perplexity:high", "takes a number or a comparison"),
        ("after:yesterday", "takes a date"),
        ("-no", "needs a word to find"),
        ("-user:ann", "cannot be excluded"),
        ("user: ann", "user: needs a value, for example user:ann"),
        ("status:", "status: needs a value"),
        ("channel:" + "9" * 5000, "takes a number"),
        ("-- * ??", "cannot be searched for"),
        ("🎉", "🎉 cannot be searched for"),
        ("party 🎉", "🎉 cannot be searched for"),
    ],
)
def test_mistakes_are_named(typed: str, words: str):
    with pytest.raises(UserError, match=words):
        parse(typed)
