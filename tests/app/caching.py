"""The policies of the test models."""

from cachepatterns import ModelPolicy, WriteBehind, register, tag
from tests.app import counted, relations
from tests.app.models import Category, Everything, Item, Label, Note, Place, Shop


@register(Item)
class ItemPolicy(ModelPolicy):
    tier = "semi_static"
    narrow_by = ["stock", "active"]

    def affects(self, change):
        if change.changed("category"):
            if change.before is not None:
                yield tag("catalog", change.before.category_id)
            if change.after is not None:
                yield tag("catalog", change.after.category_id)


@register(counted.Article)
class ArticlePolicy(ModelPolicy):
    tier = "static"
    counters = {"views": WriteBehind(every="20ms"), "likes": WriteBehind()}
    ignores = ["views"]


@register(counted.ByKey, counted.ByName, counted.ByDay)
class CountedPolicy(ModelPolicy):
    counters = {"views": WriteBehind()}
    ignores = ["views"]


@register(counted.Visit)
class VisitPolicy(ModelPolicy):
    tier = "never"
    events = WriteBehind(every="20ms", events=True)


@register(Category, Label, Note, Place, Shop, Everything)
class Plain(ModelPolicy):
    tier = "static"


@register(
    relations.Owner,
    relations.Cascading,
    relations.Nulled,
    relations.Defaulted,
    relations.Given,
    relations.Club,
    relations.Member,
    relations.Remark,
    relations.Land,
    relations.Plot,
    relations.Shed,
    relations.Well,
    relations.Branch,
    relations.Ledger,
)
class Related(ModelPolicy):
    tier = "static"
