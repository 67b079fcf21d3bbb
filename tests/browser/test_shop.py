"""The shop as a person sees it."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_home_leads_to_a_product(page):
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.locator(".card a").first.click()
    expect(page.get_by_role("heading", name="What customers say")).to_be_visible()
    picture = page.locator(".frame.large img")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")


def test_a_listing_is_filtered(page):
    page.goto("/category/living-room/")
    if page.get_by_text("Filter and sort").is_visible():
        page.get_by_text("Filter and sort").click()
    page.get_by_label("In stock only").check()
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("stock=on"))
    expect(page.get_by_text("Sold out")).to_have_count(0)


def test_from_product_to_order(page):
    page.goto("/category/living-room/?stock=on")
    page.locator(".card a").first.click()
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("heading", name="Your cart")).to_be_visible()
    page.get_by_label("Quantity of").fill("1")
    page.get_by_role("button", name="Update").click()
    page.get_by_role("link", name="Checkout").click()
    expect(page.get_by_text("Not from the cache, on purpose.")).to_be_visible()
    for label, text in {
        "Email": "grace@example.com",
        "Full name": "Grace Hopper",
        "Address": "1 Harbour Street",
        "Postcode": "12345",
        "City": "Arlington",
    }.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Country").select_option(label="Germany")
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_role("heading", name="Thank you, Grace Hopper.")).to_be_visible()


def test_log_in_and_out(page):
    page.goto("/login/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("customer")
    page.locator("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    page.locator("main").get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()
