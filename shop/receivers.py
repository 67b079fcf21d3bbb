"""What the shop does when somebody logs in."""

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from shop.carts import adopt_cart


@receiver(user_logged_in)
def keep_cart(sender: type[User], request: HttpRequest, user: User, **kwargs: object) -> None:
    adopt_cart(request, user)
