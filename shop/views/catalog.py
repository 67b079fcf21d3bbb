"""Home, categories, products, search, and the pictures on them."""

from functools import cache

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from cachepatterns import cached_view
from shop import counting, pictures, queries
from shop.caching import SITEMAP
from shop.computed import price_range
from shop.context import catalog
from shop.forms import ListingFilter
from shop.models import Category, Product
from shop.rates import in_dollars
from shop.switches import is_on

PER_PAGE = 24
FRAGMENTS = "volatile" if is_on("rendered") else "never"
"""The tier of what is kept of pages."""
COLLAGE = ("chair-7", "lamp-21", "plant-4", "kettle-9")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    context = {
        "collage": COLLAGE,
        "featured": list(queries.featured()),
        "newest": list(queries.newest()),
        "reduced": list(queries.reduced()),
    }
    return render(request, "shop/home.html", context)


@require_safe
def categories(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/categories.html")


@require_safe
def category(request: HttpRequest, slug: str) -> HttpResponse:
    tree = catalog(request)
    found = tree.find(slug)
    if found is None:
        raise Http404("There is no such category.")
    leaves = tree.leaves(found)
    context = {
        "category": found,
        "prices": price_range(found, leaves),
        "path": tree.path(found.parent_id),
        "children": tree.children(found),
        "siblings": tree.children(tree.path(found.parent_id)[-1]) if found.parent_id else [],
        **listing(request, queries.in_categories(leaves)),
    }
    return render(request, "shop/category.html", context)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    words = request.GET.get("q", "").strip()[:80]
    context: dict[str, object] = {"words": words}
    if words:
        context |= listing(request, queries.search(words))
        counting.searched(words, context)
    return render(request, "shop/search.html", context)


@require_safe
def product(request: HttpRequest, slug: str) -> HttpResponse:
    try:
        found = queries.product(slug)
    except Product.DoesNotExist as error:
        raise Http404("There is no such product.") from error
    context = {
        "product": found,
        "views": counting.viewed(found),
        "dollars": in_dollars(found.price),
        "path": catalog(request).path(found.category_id),
        # Asked for only where the block that shows them is not there yet.
        "fragments": FRAGMENTS,
        "reviews": queries.reviews(found),
        "ratings": cache(lambda: _ratings(found)),
        "related": list(queries.related(found)),
        "recommendations": list(queries.recommendations()),
    }
    return render(request, "shop/product.html", context)


def _ratings(product: Product) -> list[tuple[int, int, int]]:
    """Stars, how many have given them, and how many of a hundred that is."""
    counts: dict[int, int] = dict(queries.ratings(product))
    total = sum(counts.values())
    return [
        (stars, given := counts.get(stars, 0), 100 * given // total if total else 0)
        for stars in range(5, 0, -1)
    ]


def sitemap_paths() -> list[str]:
    """Of all that search engines are to find."""
    slugs = [
        *(("shop:category", slug) for slug in queries.categories().values_list("slug", flat=True)),
        *(("shop:product", slug) for slug in queries.products().values_list("slug", flat=True)),
    ]
    return [reverse("shop:home"), *(reverse(name, args=[slug]) for name, slug in slugs)]


@require_safe
@cached_view(
    # Where nobody says by a rule what concerns it, every new price does.
    tags=[SITEMAP] if is_on("event-driven") else [Category, Product],
    tier="semi_static" if is_on("rendered") else "never",
)
def sitemap(request: HttpRequest) -> HttpResponse:
    """The same for everybody, and long: kept as a whole."""
    context = {"root": f"{request.scheme}://{request.get_host()}", "paths": sitemap_paths()}
    return render(request, "shop/sitemap.xml", context, content_type="application/xml")


@require_safe
@cache_control(public=True, max_age=86400, immutable=True)
def picture(request: HttpRequest, kind: str, number: int) -> HttpResponse:
    return HttpResponse(pictures.draw(kind, number), content_type="image/svg+xml")


def listing(request: HttpRequest, found: QuerySet[Product]) -> dict[str, object]:
    """Filter, sort and cut into pages as the address says; shared by category and search."""
    form = ListingFilter(request.GET, brands=list(queries.brands(found)))
    form.is_valid()
    wanted = form.cleaned_data
    if wanted.get("low") is not None:
        found = found.filter(price__gte=wanted["low"])
    if wanted.get("high") is not None:
        found = found.filter(price__lte=wanted["high"])
    if wanted.get("brand"):
        found = found.filter(brand__in=wanted["brand"])
    if wanted.get("stock"):
        found = found.filter(stock__gt=0)
    sort = wanted.get("sort") or "popular"
    pages = Paginator(found.order_by(*queries.SORTS[sort]), PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    page.object_list = list(page.object_list)
    kept = request.GET.copy()
    kept.pop("page", None)
    return {
        "form": form,
        "page": page,
        "page_range": pages.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        "kept": kept.urlencode(),
        "filtered": any(wanted.get(name) for name in ("low", "high", "brand", "stock")),
        "sort": sort,
    }
