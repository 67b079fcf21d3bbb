"""The cart and the checkout."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from shop import carts, queries
from shop.checkout import Delivery, EmptyCart, OutOfStock, place_order, price_now
from shop.context import cart_lines, catalog
from shop.forms import CheckoutForm, QuantityForm
from shop.models import Product, Profile


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    items = cart_lines(request)
    totals = price_now(items, None, catalog(request).categories)
    return render(request, "shop/cart.html", {"items": items, "totals": totals})


@require_POST
def add(request: HttpRequest, slug: str) -> HttpResponse:
    product = get_object_or_404(queries.products(), slug=slug)
    form = QuantityForm(request.POST)
    quantity = form.cleaned_data["quantity"] if form.is_valid() else 1
    carts.add(carts.open_cart(request), product, max(quantity, 1))
    messages.success(request, f"{product.name} is in your cart.")
    return _back(request)


@require_POST
def change(request: HttpRequest, item_id: int) -> HttpResponse:
    cart = carts.find_cart(request)
    form = QuantityForm(request.POST)
    if cart and form.is_valid():
        carts.change(cart, item_id, form.cleaned_data["quantity"])
    return redirect("shop:cart")


@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest) -> HttpResponse:
    items = cart_lines(request)
    if not items:
        messages.info(request, "Your cart is empty.")
        return redirect("shop:cart")
    form = CheckoutForm(request.POST or None, initial=_known_delivery(request))
    if request.method == "POST" and form.is_valid():
        user = request.user if request.user.is_authenticated else None
        try:
            order = place_order(carts.open_cart(request), Delivery(**form.cleaned_data), user)
        except OutOfStock as error:
            messages.error(request, str(error))
        except EmptyCart:
            messages.error(request, "What was in your cart is no longer for sale.")
        else:
            request.session["orders"] = [*request.session.get("orders", []), order.number]
            return redirect(order)
        return redirect("shop:cart")
    # Deliberately not from the cache: these amounts are about to be paid.
    fresh = Product.objects.uncached().in_bulk([item.product_id for item in items])
    for item in items:
        item.product = fresh.get(item.product_id, item.product)
    country = form.cleaned_data.get("country") if form.is_bound and form.is_valid() else None
    country = country or form.initial.get("country")
    context = {
        "form": form,
        "items": items,
        "totals": price_now(items, country, catalog(request).categories),
    }
    return render(request, "shop/checkout.html", context)


def _known_delivery(request: HttpRequest) -> dict[str, object]:
    if not request.user.is_authenticated:
        return {}
    user = request.user
    known: dict[str, object] = {"email": user.email, "full_name": user.get_full_name()}
    try:
        profile = queries.profile(user)
    except Profile.DoesNotExist:
        return known
    country = next((each for each in queries.countries() if each.pk == profile.country_id), None)
    return known | {
        "address": profile.address,
        "postcode": profile.postcode,
        "city": profile.city,
        "country": country,
    }


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """To the page that the button was on, if it was one of ours."""
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        return HttpResponseRedirect(target)
    return redirect("shop:cart")
