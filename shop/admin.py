"""The staff's side, in the ordinary Django admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cachepatterns.admin import CachedModelAdminMixin
from shop.models import (
    Cart,
    CartItem,
    Category,
    Country,
    FeatureFlag,
    Order,
    OrderItem,
    PricingRule,
    Product,
    Profile,
    Review,
    SearchEvent,
    TaxRate,
)

admin.site.site_header = "Larkfield administration"
admin.site.site_title = "Larkfield"


@admin.register(Product)
class ProductAdmin(CachedModelAdminMixin, admin.ModelAdmin):
    list_display = ("name", "sku", "category", "brand", "price", "stock", "is_featured")
    list_editable = ("price", "stock", "is_featured")
    list_filter = ("is_active", "is_featured", "category__parent")
    list_select_related = ("category",)
    list_per_page = 50
    search_fields = ("name", "sku", "brand")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("rating", "review_count", "view_count", "created_at", "updated_at")
    autocomplete_fields = ("category",)
    save_on_top = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Deliberately not cached: who edits a row starts from what the database holds."""
        return Product.objects.uncached()


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    list_display = ("name", "parent", "position")
    list_editable = ("position",)
    list_select_related = ("parent",)
    search_fields = ("name",)
    prepopulated_fields = {"slug": ("name",)}


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    list_display = ("title", "rating", "author", "product", "created_at")
    list_select_related = ("product",)
    list_filter = ("rating",)
    search_fields = ("title", "product__name")
    raw_id_fields = ("product", "user")


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    list_display = ("name", "code", "ships")
    list_editable = ("ships",)
    search_fields = ("name", "code")


@admin.register(TaxRate)
class TaxRateAdmin(admin.ModelAdmin):
    list_display = ("country", "percent")
    list_editable = ("percent",)
    list_select_related = ("country",)


@admin.register(FeatureFlag)
class FeatureFlagAdmin(admin.ModelAdmin):
    list_display = ("name", "enabled", "note")
    list_editable = ("enabled",)


@admin.register(PricingRule)
class PricingRuleAdmin(admin.ModelAdmin):
    list_display = ("name", "category", "minimum_quantity", "percent_off", "is_active")
    list_editable = ("percent_off", "is_active")
    list_select_related = ("category",)


@admin.register(Profile)
class ProfileAdmin(admin.ModelAdmin):
    list_display = ("user", "city", "country")
    list_select_related = ("user", "country")
    raw_id_fields = ("user",)


class CartItemInline(admin.TabularInline):
    model = CartItem
    raw_id_fields = ("product",)
    extra = 0


@admin.register(Cart)
class CartAdmin(admin.ModelAdmin):
    list_display = ("pk", "user", "updated_at")
    list_select_related = ("user",)
    raw_id_fields = ("user",)
    inlines = (CartItemInline,)


class OrderItemInline(admin.TabularInline):
    model = OrderItem
    raw_id_fields = ("product",)
    extra = 0


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("number", "full_name", "total", "created_at")
    search_fields = ("number", "email", "full_name")
    raw_id_fields = ("user",)
    inlines = (OrderItemInline,)


@admin.register(SearchEvent)
class SearchEventAdmin(admin.ModelAdmin):
    list_display = ("words", "results", "at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: SearchEvent | None = None) -> bool:
        return False
