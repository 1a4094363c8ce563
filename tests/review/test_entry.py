"""Who gets in, and who does not."""

import re
from dataclasses import replace

import pytest
from glasshead.review.app import local_hosts

from .conftest import Log, Site

PATHS = ("/", "/pulse", "/session/1", "/turn/1", "/turn/1/step/0", "/compare", "/statistics", "/health", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_cookie(path: str, site: Site) -> None:
    stranger = replace(site, cookie="")
    answer = stranger.ask(path)
    assert (answer.status, "glasshead review" in answer.text) == (403, True)
    name = site.cookie.partition("=")[0]
    assert replace(site, cookie=f"{name}=guess").ask(path).status == 403


def test_the_token_works_once(closed: Site) -> None:
    assert closed.ask("/enter?token=wrong").status == 403
    answer = closed.ask(f"/enter?token={closed.token}")
    assert answer.status == 200
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert closed.ask(f"/enter?token={closed.token}").status == 403
    inside = replace(closed, cookie=cookie.split(";")[0])
    assert inside.ask("/").status == 200
    assert inside.ask(f"/enter?token={closed.token}").headers["location"] == "/"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""])
def test_another_host_name_is_refused(host: str, site: Site) -> None:
    answer = site.ask("/", headers={"Host": host})
    assert answer.status == 421
    assert "Name a colour" not in answer.text


def test_localhost_is_a_host_name_of_ours(site: Site) -> None:
    assert site.ask("/", headers={"Host": f"localhost:{site.port}"}).status == 200


def test_browsers_leave_out_the_usual_port() -> None:
    assert "localhost" in local_hosts(80)


def test_a_key_that_is_no_number_is_the_first_page(site: Site) -> None:
    assert site.ask("/?before=inf,1").status == 200


def test_a_note_of_as_many_emoji_as_it_holds_is_taken(site: Site, log: Log) -> None:
    form = {"csrf": site.csrf, "text": "😀" * 10_000}
    assert site.ask(f"/turn/{log.turns[-1]}/note", form).status == 303


@pytest.mark.parametrize("path", [*PATHS, "/static/style.css", "/static/palette.css", "/enter?token=x"])
def test_every_answer_forbids_what_is_not_ours(path: str, site: Site) -> None:
    headers = site.ask(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src", "form-action")} == {
        "'self'"
    }
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(method: str, site: Site) -> None:
    assert site.ask("/", method=method).status == 405


@pytest.mark.parametrize("what", ["rate", "tag", "untag", "note", "unnote", "reviewer", "prove", "loss", "branch"])
def test_a_change_needs_the_forms_secret(what: str, site: Site, log: Log) -> None:
    form = {"stars": "5", "name": "x", "text": "x", "step": "0", "choice": "1"}
    for secret in ({}, {"csrf": ""}, {"csrf": "guess"}):
        assert site.ask(f"/turn/{log.turns[0]}/{what}", form | secret).status == 403
    assert site.ask(f"/turn/{log.turns[0]}/{what}").status in (404, 405)


def test_the_secret_is_in_every_form_that_changes(site: Site, log: Log) -> None:
    text = site.ask(f"/turn/{log.turns[0]}?step=0").text
    forms = re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
    assert len(forms) >= 4
    assert all(f'name="csrf" value="{site.csrf}"' in form for form in forms)


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/"])
def test_only_the_static_folder_is_served(path: str, site: Site) -> None:
    assert replace(site, cookie="").ask(path).status in (403, 404)


def test_what_was_refused_leads_back(site: Site, log: Log) -> None:
    answer = site.ask(f"/turn/{log.turns[0]}/note", {"csrf": site.csrf, "text": "x", "first": "one"})
    assert answer.status == 400 and "A token is meant by its number, not by one" in answer.text
    assert f'<a href="/turn/{log.turns[0]}">Back to the reply</a>' in answer.text


def test_too_large_a_form_is_refused(site: Site, log: Log) -> None:
    answer = site.ask(f"/turn/{log.turns[0]}/note", {"csrf": site.csrf, "text": "x" * 200_000})
    assert (answer.status, "too large" in answer.text) == (400, True)
