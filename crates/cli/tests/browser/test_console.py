"""The console in a real browser: what people see, and that they can use it with a keyboard, on a phone, and without seeing colours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response, expect

from conftest import DESKTOP, PHONE, Opener, Server

PAGES = {
    "now": "/",
    "triage": "/triage",
    "tasks": "/tasks",
    "owners": "/owners",
    "audit": "/audit",
    "audit-verify": "/audit/verify",
    "recover": "/recover",
    "queues": "/queues",
    "history": "/history?type=created&since=24h",
    "access": "/access",
    "task": "/tasks/default/parked",
    "act": "/tasks/default/parked/act?verb=retry",
    "group": "/triage/act?state=quarantined&cause=by_holder&kind=task",
    "not-found": "/tasks/default/nothing",
    "sign-in": "/sign-in",
}
#: A page with everything that it loads.
BYTES_MAX = 100_000

Picture = Callable[[Page, str], None]


def fill(server: Server) -> None:
    """Something of each kind."""
    server.post("tasks", id="planned", queue="agents", labels={"issue": "168"}, payload={"repo": "x"})
    epoch = server.held("running", owner="host/1", queue="agents")
    server.post("tasks/running/progress", owner="host/1", epoch=epoch, progress={"percent": 40})
    epoch = server.held("parked")
    server.post("tasks/parked/compensations", owner="w1", epoch=epoch, kind="close-pr", target="12", reason="opened by this run")
    server.post("tasks/parked/quarantine", owner="w1", epoch=epoch, reason="two main branches")
    epoch = server.held("failed")
    nothing = {"kind": "none", "target": "-"}
    server.post("tasks/failed/fail", owner="w1", epoch=epoch, reason="exit status 1", compensation=nothing)
    epoch = server.held("completed")
    server.post("tasks/completed/complete", owner="w1", epoch=epoch, result={"pr": 12})
    # A lease of a second: it lapses, and recovery looks after it.
    server.post("tasks", id="lapses", policy={"on_lapse": "hold"})
    server.post("tasks/lapses/acquire", owner="w2", ttl="1s")
    time.sleep(1.2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_can_be_used_by_everybody(
    server: Server, open_page: Opener, picture: Picture, scheme: str, size: dict[str, int]
) -> None:
    fill(server)
    width = "phone" if size == PHONE else "desktop"
    for name, path in PAGES.items():
        page = open_page(path, scheme=scheme, size=size)
        picture(page, f"{name}-{width}-{scheme}")
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}, {width}, {scheme}: {found.generate_report()}"
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} px wider than the {width}"
        page.context.close()


def test_no_page_is_heavy(server: Server, open_page: Opener) -> None:
    fill(server)
    for name, path in PAGES.items():
        page = open_page("/livez")
        answers: list[Response] = []
        page.on("response", lambda response: answers.append(response))
        page.goto(path)
        page.wait_for_load_state("load")
        # The stream has no end, and no size.
        sizes = {one.url: len(one.body()) for one in answers if "/live?" not in one.url}
        assert 0 < sum(sizes.values()) < BYTES_MAX, f"{name}: {sizes}"
        page.context.close()


def test_an_open_page_shows_what_happened_within_a_second(server: Server, open_page: Opener) -> None:
    page = open_page("/")
    expect(page.locator("[data-live-state]")).to_have_text("live")
    # The first event may come before the stream is there.
    took = []
    for number in range(5):
        server.post("tasks", id=f"t-{number}", queue=f"queue-{number}")
        began = time.monotonic()
        page.get_by_role("rowheader", name=f"queue-{number}", exact=True).wait_for(timeout=20_000)
        took.append(time.monotonic() - began)
        time.sleep(0.7)
    # A second, and half of one for a slow machine.
    assert min(took) < 1.5, took


def test_no_row_moves_under_the_pointer(server: Server, open_page: Opener) -> None:
    epochs = {id: server.held(id, owner="w1") for id in ("a", "b", "c")}
    page = open_page("/")
    row = page.locator("#in-flight tr[data-key=b]")
    row.hover()
    before = row.bounding_box()
    server.post("tasks/a/complete", owner="w1", epoch=epochs["a"])
    server.held("d")
    gone = page.locator("#in-flight tr[data-key=a]")
    expect(gone).to_have_class("gone")
    assert row.bounding_box() == before
    assert page.locator("#in-flight tr[data-key=d]").count() == 0, "it waits until the pointer has left"
    page.locator("header .brand").hover()
    expect(gone).to_have_count(0)
    expect(page.locator("#in-flight tr[data-key=d]")).to_have_count(1)


def test_a_task_is_found_and_parked_with_the_keyboard_alone(server: Server, open_page: Opener) -> None:
    server.post("tasks", id="build-42")
    page = open_page("/")
    page.keyboard.press("/")
    page.keyboard.type("build-42")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("build-42")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Park for a person":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Park for a person")
    expect(page.locator(".effects")).to_contain_text("nobody works on it")
    for words in ("needs a look", "alice"):
        while not page.evaluate("document.activeElement.matches('textarea, input#actor')") or page.evaluate(
            "document.activeElement.value"
        ):
            page.keyboard.press("Tab")
        page.keyboard.type(words)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="The task is parked.")).to_be_visible()
    expect(page.locator(".title .state")).to_contain_text("quarantined")


def test_a_verification_shows_its_verdict_by_itself(server: Server, open_page: Opener, picture: Picture) -> None:
    fill(server)
    page = open_page("/audit")
    expect(page.locator("[data-live=audit-verdict]")).to_contain_text("remembers no verification")
    page.get_by_role("button", name="Verify now").click()
    # The page that follows may come before the verdict; nothing but the stream tells it.
    expect(page.locator("[data-live=audit-verdict]")).to_contain_text("The history holds.")
    page.locator("header .brand").hover()
    expect(page.locator("[data-live=audit-running]")).to_be_empty()
    with page.expect_download() as download:
        page.get_by_role("button", name="Make an anchor").click()
    text = download.value.path().read_text()
    assert text.startswith("tenure-anchor 1\n"), text
    assert download.value.suggested_filename.startswith("anchor-default-")
    expect(page.locator("[data-live=audit-anchor]")).to_contain_text(text.split("root ")[1].split("\n")[0])
    page.get_by_role("link", name="Verify against an anchor").click()
    page.get_by_label("Anchor").fill(text.replace("default", "here and there", 1))
    page.get_by_role("button", name="Verify", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("line 4 must be")
    page.get_by_label("Anchor").fill(text)
    page.get_by_role("button", name="Verify", exact=True).click()
    expect(page.locator("[data-live=audit-verdict]")).to_contain_text("against an anchor")
    picture(page, "verified")


def test_recovery_by_hand_says_what_it_can_undo(server: Server, open_page: Opener) -> None:
    fill(server)
    page = open_page("/")
    page.get_by_role("link", name="Recover now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recover now")
    expect(page.locator("main")).to_contain_text("handlers for: close-pr")
    # The lease of a task that is held has lapsed; recovery leaves it.
    expect(page.locator("main")).to_contain_text("There is nothing to recover now.")
    expect(page.get_by_role("button", name="Recover now")).to_have_count(0)


ACTS: dict[str, tuple[str, str]] = {
    # What is done, to which task, and how it is afterwards.
    "Cancel": ("planned", "compensated"),
    "Park for a person": ("running", "quarantined"),
    "Mark as completed": ("running", "completed"),
    "Mark as failed": ("running", "failed"),
    "Close as undone": ("running", "compensated"),
    "Retry as a new task": ("failed", "planned"),
    "Dismiss": ("failed", "failed"),
    "Add a note": ("completed", "completed"),
}


@pytest.mark.parametrize("label", ACTS)
def test_each_action_says_what_it_will_do_and_does_it(server: Server, open_page: Opener, label: str) -> None:
    fill(server)
    id, state = ACTS[label]
    page = open_page(f"/tasks/default/{id}")
    page.get_by_role("link", name=label, exact=True).click()
    assert page.locator(".effects li").count() >= 1
    page.get_by_label("Reason").fill("by hand")
    page.get_by_label("Your name").fill("alice")
    page.get_by_role("button", name=label, exact=True).click()
    expect(page.locator(".said")).to_be_visible()
    expect(page.locator(".title .state")).to_contain_text(state)
    # The name is known from then on.
    page.goto("/tasks/default/completed/act?verb=note")
    expect(page.get_by_label("Your name")).to_have_value("alice")


def test_people_see_and_do_what_their_token_allows(server: Server, open_page: Opener) -> None:
    server.post("tasks", id="t")
    tokens = {role: server.token(f"{role}-1", role) for role in ("reader", "worker", "operator", "admin")}
    page = open_page("/tasks/default/t")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.get_by_label("Token").fill("tnr_nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("invalid, expired or revoked")
    for role, token in tokens.items():
        page.goto("/tasks/default/t")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("t")
        may = role in ("operator", "admin")
        expect(page.get_by_role("link", name="Add a note")).to_have_count(1 if may else 0)
        if may:
            page.get_by_role("link", name="Add a note").click()
            expect(page.get_by_label("Your name")).to_have_count(0)
            page.get_by_label("Reason").fill(f"seen by {role}")
            page.get_by_role("button", name="Add a note").click()
            expect(page.locator(".timeline")).to_contain_text(f"seen by {role} by {role}-1")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_first_token_is_created_signed_in_with_and_revoked(server: Server, open_page: Opener, picture: Picture) -> None:
    page = open_page("/")
    page.get_by_role("link", name="Access").click()
    expect(page.get_by_role("heading", name="No token exists yet")).to_be_visible()
    page.locator("#name").fill("root")
    expect(page.locator("#role-admin")).to_be_checked()
    page.get_by_label("Your name").fill("alice")
    page.get_by_role("button", name="Create the token").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The token root is created")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    secret = page.locator("pre").inner_text()
    assert secret not in page.url
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    row = page.locator("tr", has_text="(yours)")
    expect(row).to_contain_text("admin")
    picture(page, "access-with-a-token")
    row.get_by_role("link", name="Revoke root").click()
    expect(page.locator(".effects")).to_contain_text("your own token")
    expect(page.locator(".effects")).to_contain_text("last valid token of an admin")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.get_by_label("Revoke the token root now").check()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_parked_task_is_found_undone_and_tried_again(server: Server, open_page: Opener, picture: Picture) -> None:
    """What somebody does at night who has only this page: find it, see what will be undone, and have it done again."""
    fill(server)
    page = open_page("/")
    page.get_by_role("link", name="1 task is parked for a person").click()
    page.locator("#quarantined").get_by_role("link", name="parked").click()
    expect(page.locator("[data-live=compensations]")).to_contain_text("close-pr 12")
    expect(page.locator("[data-live=compensations] .status")).to_contain_text("owed")
    page.get_by_role("link", name="Retry as a new task").click()
    expect(page.locator(".effects")).to_contain_text("which first undoes 1 compensation")
    page.get_by_label("Reason").fill("the branch is gone")
    page.get_by_label("Id of the new task").fill("parked-again")
    page.get_by_label("Your name").fill("alice")
    page.get_by_role("button", name="Retry as a new task").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("parked-again")
    # Recovery of this server has a handler for it: the page hears of its receipt by itself.
    expect(page.locator("[data-live=compensations] .status").first).to_contain_text("done", timeout=30_000)
    expect(page.locator(".title .state")).to_contain_text("planned")
    picture(page, "undone-and-planned-again")


def test_without_scripts_every_page_still_works(server: Server, browser: Any) -> None:
    fill(server)
    context = browser.new_context(java_script_enabled=False, base_url=server.url)
    page = context.new_page()
    for name, path in PAGES.items():
        page.goto(path)
        assert page.locator("h1, h2").count() > 0, name
    page.goto("/tasks/default/running/act?verb=note")
    page.get_by_label("Reason").fill("seen")
    page.get_by_label("Your name").fill("alice")
    page.get_by_role("button", name="Add a note").click()
    expect(page.locator(".timeline")).to_contain_text("seen by alice")
    context.close()
