"""Reading a form off a page as a browser would, to send it back with one thing changed."""

from html.parser import HTMLParser


class _Fields(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.values: dict[str, str] = {}
        self._inside = False
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("id") == self.form_id
        if not self._inside:
            return
        name = given.get("name")
        if tag == "input" and name and given.get("type") not in ("submit", "button", "file"):
            box = given.get("type") in ("checkbox", "radio")
            if not box or "checked" in given:
                self.values[name] = given.get("value") or ("on" if box else "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.values[self._select] = given.get("value") or ""
        elif tag == "textarea" and name:
            self._textarea = name
            self.values[name] = ""

    def handle_endtag(self, tag):
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data):
        if self._textarea is not None:
            # The line break that HTML puts after the tag is not part of the text.
            self.values[self._textarea] += data.removeprefix("\r\n").removeprefix("\n")


def form_fields(html: str, form_id: str) -> dict[str, str]:
    """The fields of the form with this id, as they would be sent unchanged."""
    parser = _Fields(form_id)
    parser.feed(html)
    parser.values.pop("csrfmiddlewaretoken", None)
    return parser.values
