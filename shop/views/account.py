"""What a customer sees of their own."""

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from shop import queries
from shop.computed import order_total
from shop.forms import ProfileForm
from shop.models import Order, Profile


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    try:
        mine = queries.profile(user)
    except Profile.DoesNotExist:
        mine = Profile(user=user)
    form = ProfileForm(request.POST or None, instance=mine)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your details are saved.")
        return redirect("shop:profile")
    # An order's amounts are its own; how much it is in all is made of its lines, and kept.
    orders = [(each, order_total(each.pk)) for each in queries.orders(user)]
    context = {"form": form, "orders": orders}
    return render(request, "shop/profile.html", context)


@require_safe
def order(request: HttpRequest, number: str) -> HttpResponse:
    """The confirmation, for whoever placed the order: others are told that there is none."""
    try:
        found = queries.order(number)
    except Order.DoesNotExist as error:
        raise Http404("There is no such order.") from error
    own = request.user.is_authenticated and found.user_id == request.user.pk
    if not own and number not in request.session.get("orders", []):
        raise Http404("There is no such order.")
    context = {"order": found, "items": list(queries.order_items(found))}
    return render(request, "shop/order.html", context)
