"""What visitors may fill in."""

from collections.abc import Iterator
from decimal import Decimal

from django import forms
from django.forms.models import ModelChoiceIterator, ModelChoiceIteratorValue

from shop import queries
from shop.models import Profile
from shop.models.carts import MAX_QUANTITY


class ListingFilter(forms.Form):
    """The filters beside a listing; an odd value in the address is ignored, not an error."""

    SORTS = (
        ("popular", "Most popular"),
        ("price", "Price: low to high"),
        ("-price", "Price: high to low"),
        ("new", "Newest first"),
        ("rating", "Best rated"),
    )

    q = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)
    sort = forms.ChoiceField(required=False, choices=SORTS)
    low = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=8, label="From")
    high = forms.DecimalField(required=False, min_value=Decimal(0), max_digits=8, label="To")
    stock = forms.BooleanField(required=False, label="In stock only")

    def __init__(self, data, *, brands: list[dict]) -> None:
        super().__init__(data)
        self.fields["brand"] = forms.MultipleChoiceField(
            required=False,
            widget=forms.CheckboxSelectMultiple,
            choices=[(each["brand"], f"{each['brand']} ({each['products']})") for each in brands],
        )
        for name in ("low", "high"):
            self.fields[name].widget.attrs.update({"inputmode": "decimal", "step": "1"})


class QuantityForm(forms.Form):
    quantity = forms.IntegerField(min_value=0, max_value=MAX_QUANTITY)


class PlainRows(ModelChoiceIterator):
    """Choices by an ordinary query: Django's own opens a cursor, which no cache can answer."""

    def __iter__(self) -> Iterator[tuple[ModelChoiceIteratorValue | str, str]]:
        if self.field.empty_label is not None:
            yield ("", str(self.field.empty_label))
        yield from (self.choice(row) for row in self.queryset.all())


class CountryChoice(forms.ModelChoiceField):
    """The countries we deliver to, from where the pages read theirs."""

    iterator = PlainRows

    def __init__(self, *, required: bool = True) -> None:
        super().__init__(queries.countries(), required=required, empty_label="Choose a country")


class CheckoutForm(forms.Form):
    email = forms.EmailField(widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    full_name = forms.CharField(
        max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    address = forms.CharField(
        max_length=120, widget=forms.TextInput(attrs={"autocomplete": "street-address"})
    )
    postcode = forms.CharField(
        max_length=12, widget=forms.TextInput(attrs={"autocomplete": "postal-code"})
    )
    city = forms.CharField(
        max_length=60, widget=forms.TextInput(attrs={"autocomplete": "address-level2"})
    )
    country = CountryChoice()


class ProfileForm(forms.ModelForm):
    country = CountryChoice(required=False)

    class Meta:
        model = Profile
        fields = ("phone", "address", "postcode", "city", "country", "newsletter")
