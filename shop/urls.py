"""Addresses of the demo."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from shop.views import account, cart, catalog

shop_patterns = [
    path("", catalog.home, name="home"),
    path("categories/", catalog.categories, name="categories"),
    path("category/<slug:slug>/", catalog.category, name="category"),
    path("product/<slug:slug>/", catalog.product, name="product"),
    path("sitemap.xml", catalog.sitemap, name="sitemap"),
    path("search/", catalog.search, name="search"),
    path("picture/<slug:kind>/<int:number>.svg", catalog.picture, name="picture"),
    path("cart/", cart.show, name="cart"),
    path("cart/add/<slug:slug>/", cart.add, name="cart-add"),
    path("cart/change/<int:item_id>/", cart.change, name="cart-change"),
    path("checkout/", cart.checkout, name="checkout"),
    path("order/<slug:number>/", account.order, name="order"),
    path("profile/", account.profile, name="profile"),
]

urlpatterns = [
    path("", include((shop_patterns, "shop"))),
    path("", include("django_prometheus.urls")),
    path(
        "login/",
        auth.LoginView.as_view(redirect_authenticated_user=True),
        name="login",
    ),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
